#!/usr/bin/env bash
# run.sh TAP BUILD: the Debian package of a finished build, without compiling
# again and without installing anything. Writes one line of TAP per case to TAP.
set -u

tap=$1 build=$2
top=$(cd "$(dirname "$0")/../.." && pwd)
. "$top/scripts/lib.sh"
for tool in cpack dpkg-deb dpkg-shlibdeps file; do
    has "$tool" || skip "needs $tool (scripts/setup.sh package)"
done
work=$(mktemp -d "${TMPDIR:-/tmp}/axvm-package.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
count=0 failed=0
: >"$tap"

result() { # ok|"not ok" NAME [REASON]
    count=$((count + 1))
    echo "$1 $count - $2${3:+ # SKIP $3}" | tee -a "$tap"
    [ "$1" = ok ] || failed=1
}

case_() { # NAME COMMAND...: a case that is one shell function
    local name=$1
    shift
    if "$@" >log 2>&1; then
        result ok "$name"
    else
        result "not ok" "$name"
        sed 's/^/# /' log | tail -n 40
    fi
}

missing() {
    echo "missing: $*"
    return 1
}

makes_one() {
    cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/out" || return
    mv out/*.deb package.deb &&
        dpkg-deb -c package.deb >list &&
        dpkg-deb -x package.deb root &&
        dpkg-deb -e package.deb control
}

# Everything that belongs there, and nothing elsewhere.
contents() {
    local file
    for file in /usr/bin/axvm-run /usr/lib/systemd/system/axvm@.service \
        /usr/share/bash-completion/completions/axvm-run \
        /usr/share/man/man1/axvm-run.1.gz /usr/share/man/man5/axvm.conf.5.gz \
        /usr/share/man/man5/axvm.toml.5.gz \
        /usr/share/doc/axvm-run/{copyright,changelog.gz,changelog.Debian.gz} \
        /usr/share/doc/axvm-run/examples/{linux-x86_64.toml,logrotate.conf}; do
        [ -f "root$file" ] || missing "$file" || return
    done
    # The client, in builds that have it.
    [ ! -x "$build/axvm" ] || [ -x root/usr/bin/axvm ] || missing axvm || return
    ! find root -type f ! -path 'root/usr/bin/*' ! -path 'root/usr/share/*' \
        ! -path 'root/usr/lib/systemd/system/*' | grep . &&
        ! grep -v ' root/root ' list
}
modes() { # nothing that others may write, nothing with an s bit
    ! find root control \( -type f -o -type d \) -perm /7022 | grep . &&
        ! find root -type f -perm /111 ! -path 'root/usr/bin/*' | grep .
}
field() { # NAME PATTERN
    local value
    value=$(dpkg-deb -f package.deb "$1")
    [[ $value =~ $2 ]] || missing "$1: '$value' is not $2"
}
fields() {
    field Package '^axvm-run$' &&
        field Version "^$(cat "$top/VERSION")-1$" &&
        field Architecture "^$(dpkg --print-architecture)$" &&
        field Section . && field Maintainer '^.+ <.+@.+>$' &&
        field Depends '(^|, )libc6 ' && field Recommends 'libcapstone4, libslirp0' &&
        field Description '^run a kernel'
}
scripts() {
    local name
    for name in postinst postrm; do
        sh -n "control/$name" && [ -x "control/$name" ] || return
    done
    # On a host without systemd there is nothing to tell anybody.
    [ -d /run/systemd/system ] || {
        PATH=/nonexistent /bin/sh control/postinst configure &&
            PATH=/nonexistent /bin/sh control/postrm remove
    }
}
unit_paths() {
    local unit=root/usr/lib/systemd/system/axvm@.service
    grep -q '^ExecStart=/usr/bin/axvm-run .* /etc/axvm/guests/%i\.toml$' \
        "$unit" && ! grep '@[A-Z_]*@' "$unit"
}
# The build may have another prefix: /etc/axvm/axvm.conf is read all the same.
program_paths() {
    grep -aq '/etc/axvm/axvm.conf' root/usr/bin/axvm-run &&
        ! grep -aoE '/(usr|local|home|tmp)[a-z/]*/etc/axvm' root/usr/bin/axvm-run
}
runs() {
    local version
    version=$(root/usr/bin/axvm-run --version) &&
        [ "$version" = "axvm-run $(cat "$top/VERSION")" ]
}
pages() {
    local page
    for page in root/usr/share/man/man*/*.gz; do
        gzip -t "$page" || return
    done
}
# The neutral maintainer's address is known to be none, and the first package
# closes no bug report.
lint() {
    local tags=bogus-mail-host,bogus-mail-host-in-debian-changelog
    lintian --allow-root --fail-on error,warning \
        --suppress-tags "$tags,initial-upload-closes-no-bugs" package.deb
}

case_ "cpack makes a package" makes_one
case_ "its contents" contents
case_ "its modes" modes
case_ "its control fields" fields
case_ "its scripts" scripts
case_ "the unit names installed paths" unit_paths
case_ "the program names installed paths" program_paths
case_ "the extracted program runs" runs
case_ "the pages are compressed" pages
if has lintian; then
    case_ "lintian" lint
else
    result ok "lintian" "lintian is not installed"
fi

echo "1..$count" >>"$tap"
exit $failed
