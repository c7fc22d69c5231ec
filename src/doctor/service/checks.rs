//! What is looked for in the settings, at the service's own address, and at its public address. docs/doctor.md has the same table.

use crate::doctor::finding::checks;

checks! {
    CORS: Serious, "service.cors",
        "every page on the web can use the service in the browser of a person who visits it",
        "find out what adds Access-Control-Allow-Origin, and take it out; CORS_ALLOWED_ORIGINS names the origins";
    CORS_PLAIN: Warning, "service.cors_plain_http",
        "anyone on the network can put a page of their own there, which may use the service",
        "serve that front-end with https, and name it so in CORS_ALLOWED_ORIGINS";
    METRICS: Warning, "service.metrics",
        "anyone who reaches the port sees when how many people write, and how many speak of danger",
        "set METRICS_HOST=127.0.0.1, or an address in the network of your monitoring alone";
    EXPOSED: Warning, "service.exposed",
        "anyone who reaches this machine can use the service without a proxy, and so without TLS",
        "set APP_HOST=127.0.0.1, or TRUSTED_PROXIES and a firewall that admits only the proxy";
    DEVELOPMENT: Note, "service.development",
        "it reads .env, and pages of this machine may use it",
        "set ENVIRONMENT=production where people use it";
    RATE_LIMIT: Warning, "service.rate_limit",
        "one client can refuse the service to all others",
        "set RATE_LIMIT=on";
    PROOF_OF_WORK: Warning, "service.proof_of_work",
        "one client can create sessions without end, and fill the disk",
        "set PROOF_OF_WORK=auto";
    LOG_LEVEL: Warning, "service.log_level",
        "the log has more lines with times than operation needs",
        "set LOG_LEVEL=info or warn, and no RUST_LOG";
    RETENTION: Warning, "service.retention",
        "sessions stay for longer than SafeSpace's own policy has it, and docs/privacy.md",
        "unset the variable, or lower it";
    LOSS_ACCEPTED: Warning, "service.loss_accepted",
        "the service starts also where PostgreSQL can lose what it has acknowledged",
        "unset DB_LOSS_ACCEPTED";

    FILE_UNUSABLE: Serious, "service.file_unusable",
        "the service would not start with it again",
        "correct the file";
    HELP_LINES: Warning, "service.help_lines",
        "a person in danger may call a number that does not answer",
        "call each of them, or write to it, and set verified_at in the file of RESOURCES (docs/resources.md)";
    HARD_CODED_NUMBERS: Warning, "service.hard_coded_numbers",
        "no verification of a help line covers it",
        "write a reference to a help line in its place";
    DANGER_WORDS: Serious, "service.danger_words",
        "no answer has help lines",
        "add a topic self_harm or danger, with words, to the file of COMPANION_SCRIPT";
    REPORT_TEXTS: Warning, "service.report_texts",
        "people hand these texts to the police or to lawyers",
        "have a lawyer or counsellor read them, and set reviewed in the file of REPORT_TEMPLATES (docs/report-texts.md)";
    OVERRIDDEN: Note, "service.overridden",
        "your own texts take the place of embedded ones",
        "have a counsellor read the file after each change";

    MODEL_PLAIN: Serious, "service.model_plain_http",
        "anyone on the network path can read every conversation",
        "name the model's server with https in OPENAI_BASE_URL";
    MODEL_NETWORK: Warning, "service.model_network",
        "anyone in that network can read every conversation",
        "use https, an encrypted network, or a model on this machine";
    MODEL_PUBLIC: Note, "service.model_public",
        "its provider reads every conversation",
        "tell people so, or use a model of your own with COMPANION_EGRESS=local";
    MODEL_EGRESS: Warning, "service.model_egress",
        "if its name leads elsewhere one day, conversations go there",
        "set COMPANION_EGRESS=local";

    DOWN: Serious, "service.down",
        "nobody is served",
        "start it, and read its log";
    OTHER: Serious, "service.other",
        "another program has the port of the service",
        "set APP_HOST and APP_PORT to the address of the service, or end that program";
    OTHER_VERSION: Warning, "service.other_version",
        "the doctor judges what it knows of its own version",
        "run the doctor of that version, or restart the service after the update";
    NOT_READY: Serious, "service.not_ready",
        "it does not serve requests",
        "run `safespace check`, and read the service's log";
    ID_IN_LOG: Serious, "service.id_in_log",
        "who reads that file can open the session",
        "turn that log off, or leave paths and Authorization out of it (docs/operations.md, A log without ids), and delete the file";

    CERTIFICATE: Serious, "proxy.certificate",
        "browsers refuse the service, or people get used to clicking the warning away",
        "renew the certificate, or install its chain";
    NO_TLS: Serious, "proxy.no_tls",
        "the network reads ids and text",
        "put a proxy with TLS in front (docs/operations.md)";
    PLAIN_HTTP: Serious, "proxy.plain_http",
        "who types the name without https sends ids and text in the clear",
        "close port 80, or answer every request there with a redirect to https";
    HSTS: Note, "proxy.hsts",
        "browsers remember the host for that long, also when the history is deleted: a trace on the phone",
        "decide between that trace and protection from somebody who answers in its place over http; shorten max-age";
    NO_HSTS: Note, "proxy.no_hsts",
        "who types the name without https can be led astray by the network; with it, the browser keeps a trace of the visit",
        "decide which of the two is worse for your people";
    CACHE_CONTROL: Serious, "proxy.cache_control",
        "the proxy or a browser may keep what people write",
        "leave Cache-Control as SafeSpace sends it";
    HEADERS: Warning, "proxy.headers",
        "a protection of the browser is lost",
        "leave the field as SafeSpace sends it";
    COOKIE: Serious, "proxy.cookie",
        "it tells people apart, and stays in the browser",
        "turn off cookies of the proxy, such as those for sticky sessions";
    METRICS_PUBLIC: Serious, "proxy.metrics",
        "everybody sees when how many people write, and how many speak of danger",
        "do not forward /metrics";
    HEALTH_PUBLIC: Note, "proxy.health",
        "everybody sees how many connections to the database there are",
        "do not forward /health/ to the outside, unless a load balancer there needs it";
    DOCS_PUBLIC: Note, "proxy.docs",
        "everybody sees that this is SafeSpace, and its API",
        "do not forward /docs and /openapi.json, unless developers need them";
    NOT_TRUSTED: Warning, "proxy.not_trusted",
        "all people behind the proxy are one network to the limits, or none",
        "set TRUSTED_PROXIES to the address from which the proxy connects";
}
