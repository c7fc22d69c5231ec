#!/usr/bin/env bash
# Makes 50 reports with every answer in both languages and with narratives that are hard to draw, and reads their PDF files
# with other programs: qpdf for the structure of the file, poppler for text, fonts and metadata.
# Usage: tests/pdf.sh [BINARY] [FOLDER]
# The files are written to the folder, if there is one. Needs curl, jq, qpdf and poppler-utils.
set -euo pipefail

binary=$(realpath "${1:-target/release/safespace}")
files=$(mktemp -d)
pdfs=${2:-$files}
mkdir -p "$pdfs"
folders=()
processes=()

. "$(dirname "$(realpath "$0")")/service.sh"
trap 'finish $?' EXIT

fail() {
    echo "FAILED  $*" >&2
    exit 1
}

# Narratives as programs of jq. The words of the plain ones must all be in the file.
plain=(
    '""'
    '"Dia memanggil saya ke ruangannya.\n\nSaya \"takut\" – dan diam. Café, naïve, fi ffi; 3 < 4 & <b>."'
    '"Dia memanggil saya ke ruangannya setelah kuliah, lalu menutup pintu. " * 230'
    '"# bukan judul\n- bukan daftar\n1. bukan nomor\n    empat spasi\n[bukan](tautan)"'
    '"Ψ Ω Привет ₹ € ½ … “kata” ‘kata’ → Nguyễn Thị Hồng"'
)
hard=(
    '"قال لي إن عليّ أن أبقى بعد الدرس.\nالسَّلَامُ عَلَيْكُمْ (3)"'
    '"Dia berkata \"لا تخبري أحداً\" lalu pergi 12:30. שלום"'
    '"Saya takut 😢😭 👩‍👩‍👧 ❤️ 你好 नमस्ते"'
    '"ꦄꦏ꧀ꦱꦫꦗꦮ ᬅᬓ᭄ᬱᬭᬩᬮᬶ ᮃᮊ᮪ᮞᮛ ᨒᨚᨈᨑ ᯅᯖᯂ᯲ สวัสดี வணக்கம்"'
    '"a" * 16384'
    '"ꦱꦸꦒꦼꦁ" * 2700'
    '"a\u0007b\u001b[31mc\td\u202eterbalik\u202c\ufeff\u00ad\u200b\ufffe"'
    '"\u200d" * 16384'
    '"a" + "\u0301" * 16383'
    '"\n" * 16384'
    '"a\n" * 8192'
    '"😢" * 8192'
    '" " * 16384'
    '"aا" * 8192'
)
narratives=("${plain[@]}" "${hard[@]}")
locations=(workplace kampus online 'public space' sekolah)
perpetrators=(supervisor colleague lecturer client stranger)
descriptions=('inappropriate comments' 'unwanted physical touch' 'repeated pressure' 'threat or coercion' 'digital harassment')
evidences=(messages emails witness none)
goals=('understand the risk' 'document safely' 'consider reporting' 'explore options')
languages=(id en)

# make N FILE: makes the report with this number and writes its PDF and its text.
make() {
    local n=$1 narrative=${narratives[$(($1 % ${#narratives[@]}))]}
    # A session has up to 20 reports.
    if [ $((n % 20)) = 0 ]; then
        session=$url/api/v1/sessions/$(curl -fsS -X POST "$url/api/v1/sessions" | jq -r .session_id)
    fi
    jq -n "{narrative: ($narrative), location: \$location, perpetrator: \$perpetrator, description: \$description,
        evidence: \$evidence, user_goal: \$goal, language: \$language} | if .narrative == \"\" then del(.narrative) else . end" \
        --arg location "${locations[$((n / 5 % 5))]}" --arg perpetrator "${perpetrators[$((n % 5))]}" \
        --arg description "${descriptions[$(((n + n / 5) % 5))]}" --arg evidence "${evidences[$((n % 4))]}" \
        --arg goal "${goals[$((n / 4 % 4))]}" --arg language "${languages[$((n % 2))]}" >"$files/facts.json"
    curl -fsS -o "$files/report.json" -H 'Content-Type: application/json' --data-binary "@$files/facts.json" "$session/report" \
        || fail "report $n: $(cat "$files/facts.json" | cut -c1-300)"
    curl -fsS -o "$2.pdf" -D "$2.head" -H 'Accept: application/pdf' "$session/report"
    curl -fsS -o "$2.txt" -H 'Accept: text/plain' "$session/report"
}

# check N FILE: checks the PDF of the report with this number.
check() {
    local n=$1 file=$2.pdf title=Dokumen
    [ $((n % 2)) = 0 ] || title=Document
    grep -qi '^content-disposition: attachment; filename="dokumen.pdf"' "$2.head" || fail "$file: $(cat "$2.head")"
    # Warnings are failures, too.
    qpdf --check "$file" >"$files/check.log" 2>&1 || fail "$file: qpdf: $(cat "$files/check.log")"
    # Poppler 22 does not know that Suspects may be a boolean.
    pdfinfo "$file" >"$files/info" 2>"$files/info.log" || fail "$file: pdfinfo"
    for line in "Title: *$title" 'Tagged: *yes' 'Page size: *595.28 x 841.89 pts (A4)' 'JavaScript: *no' 'Encrypted: *no'; do
        grep -q "^$line$" "$files/info" || fail "$file: no \"$line\": $(cat "$files/info")"
    done
    ! grep -E '^(Author|Creator|Producer|CreationDate|ModDate|Subject|Keywords)' "$files/info" || fail "$file: metadata"
    pdffonts "$file" >"$files/fonts" 2>/dev/null
    awk 'NR > 2 && ($(NF - 4) != "yes" || $(NF - 2) != "yes") { exit 1 }' "$files/fonts" || fail "$file: $(cat "$files/fonts")"
    pdfinfo -struct "$file" >"$files/structure" 2>/dev/null
    for element in H1 H2 P L LI Lbl LBody; do
        grep -qw "$element" "$files/structure" || fail "$file: no $element"
    done
    # -nopgbrk: no form feed before the first line of a page.
    pdftotext -nopgbrk "$file" "$files/text" 2>/dev/null
    for heading in 'I\.' 'II\.' 'III\.' 'IV\.'; do
        grep -q "^$heading " "$files/text" || fail "$file: no heading $heading: $(cat "$files/text")"
    done
    # Below each page, and at the top of the first.
    local pages titles
    pages=$(sed -n 's/^Pages: *//p' "$files/info")
    titles=$(grep -c "^$(head -n 1 "$2.txt")" "$files/text")
    [ "$titles" = $((pages + 1)) ] || fail "$file: $titles titles on $pages pages"
    [ $((n % ${#narratives[@]})) -lt ${#plain[@]} ] || return 0
    # The words of the text and of the file, without quotation marks, bullets, rules, lines to fill in, and addresses, which may
    # be broken into lines.
    words() { sed 's/“//g; s/”//g' "$1" | tr -s '[:space:]' '\n' | grep -avE '^(-+|•|_*)$|^https:' | sort; }
    missing=$(comm -23 <(words "$2.txt") <(words "$files/text"))
    [ -z "$missing" ] || fail "$file: words are missing: $missing"
}

# Reports made this fast would be refused.
serve service RATE_LIMIT=off
for n in $(seq 0 49); do
    make "$n" "$pdfs/$n"
    check "$n" "$pdfs/$n"
done
echo "ok      50 PDF files: structure, metadata, fonts and text"
grep -q 'U+1F622' <(pdftotext "$pdfs/7.pdf" - 2>/dev/null) || fail "an emoji has no code"
grep -q 'ꦄꦏ꧀ꦱꦫꦗꦮ' <(pdftotext "$pdfs/8.pdf" - 2>/dev/null) || fail "Javanese is not text"
echo "ok      letters that no font has are codes, and other scripts are text"
