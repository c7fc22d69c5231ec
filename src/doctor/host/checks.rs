//! What is looked for on the machine of the service. docs/doctor.md has the same table.

use crate::doctor::finding::checks;

checks! {
    SWAP: Serious, "host.swap",
        "ids, keys and texts in memory can be written to the disk, and stay there",
        "swapoff, encrypt it (dm-crypt, zram), or MemorySwapMax=0 for the service as in packaging/safespace.service";
    SWAP_OF_OTHERS: Warning, "host.swap_of_others",
        "what a proxy or a model on this machine has in memory, ids and texts, can be written to the disk",
        "swapoff, encrypt it (dm-crypt, zram), or MemorySwapMax=0 for these programs too";
    CORE_FILES: Serious, "host.core_files",
        "a crash writes ids, keys and texts to the disk",
        "LimitCORE=0 for the service as in packaging/safespace.service, or ulimit -c 0";
    CORE_PIPED: Warning, "host.core_piped",
        "the kernel hands the memory of a crashed process to that program, whatever its limit on core files is",
        "sysctl -w kernel.core_pattern=core, or have that program keep nothing of SafeSpace";
    DESCRIPTORS: Warning, "host.descriptors",
        "the service accepts fewer connections than APP_MAX_CONNECTIONS",
        "raise the hard limit on open files: LimitNOFILE for the service, or ulimit -n";
    ROOT: Warning, "host.root",
        "who takes over the service has the whole machine",
        "run it as a user of its own, as packaging/install sets it up";
    SECRET_FILE: Serious, "host.secret_file",
        "another user of this machine can read or change a secret of the service",
        "chmod 600 the file, or 640 with a group that has the service alone, and chown it to root or to the service's user";
    TEXT_FILE: Serious, "host.text_file",
        "another user of this machine can change what people are told, also the numbers of help lines",
        "chmod go-w the file or folder";
    DATA_FOLDER: Serious, "host.data_folder",
        "other users of this machine can reach PostgreSQL's data or its log",
        "chmod go-rwx it (711 for the data folder of a service that runs as root)";
    OLD_DATA: Warning, "host.old_data",
        "it holds what people have deleted since the upgrade",
        "run `safespace upgrade-data --delete-old`";
    CLOCK: Serious, "host.clock",
        "sessions end by the service's clock, and their rows are deleted by PostgreSQL's: within ten minutes they must agree",
        "run NTP on both machines";
    OTHER_SETTINGS: Warning, "host.other_settings",
        "the doctor judges its own settings, which are not those of the running service",
        "run the doctor with the settings of the service (docs/doctor.md), or restart the service";
}
