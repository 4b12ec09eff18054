# test-results.awk - ctest's JUnit file to lines "pass|fail|skip RUN/ENTRY ...".
#
# Needs -v run=NAME and -v tap=DIR. An entry that wrote DIR/ENTRY.tap counts for
# every line of it; should its program die after all of them passed, that is one
# failure more. A skip's reason comes behind -v because, which is ": " unless
# given. For test.sh and kvm.sh; plain POSIX awk.

function attribute(key) {
    if (!match($0, " " key "=\"[^\"]*\""))
        return ""
    return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 4)
}
function plain(text) {
    gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text)
    gsub(/&quot;/, "\"", text); gsub(/&apos;/, "'", text)
    gsub(/&amp;/, "\\&", text)
    return text
}
function finish(    file, line, name, failures, reason) {
    file = tap "/" entry ".tap"
    while ((getline line < file) > 0) {
        if (line !~ /^(not )?ok /)
            continue
        name = line
        sub(/^(not )?ok (- )?/, "", name)
        reason = ""
        if (match(name, / *# SKIP */)) {
            reason = because substr(name, RSTART + RLENGTH)
            name = substr(name, 1, RSTART - 1)
        }
        sub(/ *\([0-9.]+s\)$/, "", name)
        name = run "/" entry " " name
        if (line ~ /^not/) {
            failures++
            print "fail " name
        } else if (reason) {
            print "skip " name reason
        } else {
            print "pass " name
        }
        counted = 1
    }
    close(file)
    if (status == "fail" && !failures)
        print "fail " run "/" entry " (" (message ? message : "failed") ")"
    else if (status == "notrun" && message ~ /^SKIP/)
        print "skip " run "/" entry because (why ? why : "no reason given")
    else if (status == "notrun")
        print "fail " run "/" entry " (could not be run)"
    else if (status == "run" && !counted)
        print "pass " run "/" entry
}
BEGIN { if (!because) because = ": " }
/<testcase / {
    entry = attribute("name"); status = attribute("status")
    why = message = ""; counted = 0
}
/<(failure|skipped) / { message = attribute("message") }
match($0, /SKIP: .*/) && !why { why = plain(substr($0, RSTART + 6, RLENGTH)) }
/<\/testcase>/ { finish() }
