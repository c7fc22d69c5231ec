//! The words that tell what a number is, in Indonesian and English; digits also in Javanese and Sundanese.

/// Words for digits and numbers. The digits of one that is no digit are empty.
const NUMBERS: [(&str, &str); 69] = [
    ("nol", "0"),
    ("kosong", "0"),
    ("zero", "0"),
    ("oh", "0"),
    ("satu", "1"),
    ("one", "1"),
    ("dua", "2"),
    ("two", "2"),
    ("tiga", "3"),
    ("three", "3"),
    ("empat", "4"),
    ("four", "4"),
    ("lima", "5"),
    ("five", "5"),
    ("enam", "6"),
    ("six", "6"),
    ("tujuh", "7"),
    ("seven", "7"),
    ("delapan", "8"),
    ("lapan", "8"),
    ("eight", "8"),
    ("sembilan", "9"),
    ("nine", "9"),
    ("niner", "9"),
    ("sepuluh", ""),
    ("sebelas", ""),
    ("belas", ""),
    ("puluh", ""),
    ("ratus", ""),
    ("seratus", ""),
    ("ten", ""),
    ("eleven", ""),
    ("twelve", ""),
    ("thirteen", ""),
    ("fourteen", ""),
    ("fifteen", ""),
    ("sixteen", ""),
    ("seventeen", ""),
    ("eighteen", ""),
    ("nineteen", ""),
    ("twenty", ""),
    ("thirty", ""),
    ("forty", ""),
    ("fifty", ""),
    ("sixty", ""),
    ("seventy", ""),
    ("eighty", ""),
    ("ninety", ""),
    ("hundred", ""),
    ("double", ""),
    ("triple", ""),
    ("dobel", ""),
    ("tripel", ""),
    ("siji", "1"),
    ("loro", "2"),
    ("telu", "3"),
    ("papat", "4"),
    ("limo", "5"),
    ("enem", "6"),
    ("pitu", "7"),
    ("wolu", "8"),
    ("songo", "9"),
    ("sanga", "9"),
    ("hiji", "1"),
    ("tilu", "3"),
    ("opat", "4"),
    ("genep", "6"),
    ("dalapan", "8"),
    ("salapan", "9"),
];

/// Letters of a word that may be several words for numbers.
const MAX_JOINED: usize = 64;

/// Words before an extension.
const EXTENSIONS: [&str; 14] = [
    "ext",
    "extension",
    "ekstensi",
    "ekst",
    "pesawat",
    "tekan",
    "press",
    "pilih",
    "pencet",
    "ketik",
    "choose",
    "option",
    "opsi",
    "dial",
];

/// Words that people say between digits.
const CONNECTORS: [&str; 15] = [
    "strip", "dash", "hyphen", "plus", "spasi", "space", "titik", "dot", "lalu", "kemudian", "then", "angka", "nomor",
    "no", "number",
];

/// Beginnings of words of calling.
const CALLING: [&str; 25] = [
    "call",
    "dial",
    "phone",
    "telephone",
    "contact",
    "whatsapp",
    "hotline",
    "helpline",
    "lifeline",
    "number",
    "emergenc",
    "ambulan",
    "polic",
    "hubungi",
    "menghubung",
    "dihubung",
    "telepon",
    "menelepon",
    "telpon",
    "menelpon",
    "telefon",
    "kontak",
    "nomor",
    "nomer",
    "darurat",
];

/// Whole words of calling.
const CALLING_WORDS: [&str; 27] = [
    "ring",
    "text",
    "sms",
    "wa",
    "line",
    "reach",
    "tel",
    "telp",
    "tlp",
    "hp",
    "layanan",
    "saluran",
    "sapa",
    "polisi",
    "center",
    "centre",
    "chat",
    "ketik",
    "kirim",
    "lapor",
    "adukan",
    "pengaduan",
    "samaritans",
    "bel",
    "tekan",
    "pencet",
    "dm",
];

/// Words behind an ordinary number.
const UNITS: &str = "pengaduan aduan tahun thn th bulan bln minggu hari jam menit mnt detik kali x orang anak teman halaman kata persen km m cm kg \
    gram liter meter rupiah ribu rb juta jt miliar years year months month weeks week days day hours hour minutes \
    minute mins min seconds second sec times people persons percent pages words kilometers kilometres miles pounds \
    lbs dollars usd idr euro euros degrees derajat langkah steps tips points poin cara ways hal things kasus cases \
    kabupaten kota provinsi districts lembar buah breaths napas breathing technique teknik metode method rule pm \
    am wib wita wit kalori mg ml mmhg bpm negara mahasiswa siswa perempuan laki women men students korban \
    responden karyawan dolar k million billion siang pagi sore malam countries victims pasien laporan reports \
    rupee peserta an";

/// Words before an ordinary number.
const COUNTING: &str = "pos iso se paras paragraf paragraph umur usia berusia age aged pukul jam tahun year tanggal date halaman page pasal ayat uu undang article section \
    chapter bab kelas grade kamar room lantai floor rp idr usd teknik technique metode latihan hitungan hitung \
    count skala scale versi version skor score kuhp art arts articles sections ps psl rt rw blok ruang bus rute \
    ipk suhu tensi tekanan pressure bpm napas pernapasan pola antara sekitar about around";

/// Words directly before a time.
const BEFORE_TIMES: [&str; 9] = ["pukul", "jam", "sekitar", "antara", "buka", "at", "around", "between", "open"];

/// Words directly before a year, or a time.
const BEFORE_YEARS: &str = "tahun pada sejak dari mulai sampai hingga sebelum setelah in since from until till before after januari \
    februari maret april mei juni juli agustus september oktober november desember january february march may june \
    july august october december";

/// Units of time. They make a measure of a number also behind a word of calling: "call again within 120 hours".
const UNITS_OF_TIME: &str = "tahun bulan minggu hari jam menit detik years year months month weeks week days day hours hour minutes minute \
    mins seconds second";

/// Words directly behind a time.
const BEHIND_TIMES: [&str; 5] = ["am", "pm", "wib", "wita", "wit"];

/// Words between the numbers of a list.
const JOINING: [&str; 11] = ["dan", "atau", "serta", "sampai", "hingga", "jo", "juncto", "sd", "and", "or", "to"];

/// Whether a list of words with spaces between them has this one.
fn has(list: &str, word: &str) -> bool {
    list.split(' ').any(|own| own == word)
}

/// The digits of a word for a number; empty for one that is no digit.
pub(super) fn digits_of(word: &str) -> Option<&'static str> {
    let find = |word: &str| NUMBERS.iter().find(|(own, _)| *own == word).map(|(_, digits)| *digits);
    // "tigaa".
    let short = || {
        let last = word.chars().next_back()?;
        find(&format!("{}{last}", word.trim_end_matches(last)))
    };
    find(word).or_else(short)
}

/// The digits of words for numbers that are written as one word, such as "satusatutiga"; `None` if it is another word.
pub(super) fn joined_digits(word: &str) -> Option<Vec<&'static str>> {
    if word.is_empty() {
        return Some(Vec::new());
    }
    if word.len() > MAX_JOINED {
        return None;
    }
    NUMBERS.iter().find_map(|(own, digits)| {
        let mut rest = joined_digits(word.strip_prefix(own)?)?;
        rest.insert(0, digits);
        Some(rest)
    })
}

pub(super) fn is_unit_of_time(word: &str) -> bool {
    has(UNITS_OF_TIME, word)
}

pub(super) fn is_extension(word: &str) -> bool {
    EXTENSIONS.contains(&word)
}

pub(super) fn is_connector(word: &str) -> bool {
    CONNECTORS.contains(&word)
}

pub(super) fn is_calling(word: &str) -> bool {
    CALLING.iter().any(|begin| word.starts_with(begin)) || CALLING_WORDS.contains(&word)
}

pub(super) fn is_unit(word: &str) -> bool {
    has(UNITS, word)
}

pub(super) fn is_counting(word: &str) -> bool {
    has(COUNTING, word)
}

pub(super) fn is_before_time(word: &str) -> bool {
    BEFORE_TIMES.contains(&word) || is_before_year(word)
}

pub(super) fn is_before_year(word: &str) -> bool {
    has(BEFORE_YEARS, word)
}

pub(super) fn is_behind_time(word: &str) -> bool {
    BEHIND_TIMES.contains(&word)
}

pub(super) fn is_joining(word: &str) -> bool {
    JOINING.contains(&word)
}

/// Whether a word is made of letters that look like digits: O, l and I.
pub(super) fn is_like_digits(word: &str) -> bool {
    word.chars().all(|char| matches!(char, 'o' | 'l' | 'i'))
}

/// The digits that such a word looks like.
pub(super) fn like_digits(word: &str) -> String {
    word.chars().map(|char| if char == 'o' { '0' } else { '1' }).collect()
}
