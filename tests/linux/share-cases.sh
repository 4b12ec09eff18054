# shellcheck shell=dash disable=SC2154,SC2034
# share-cases.sh - the cases of virtio.sh about shares, which reads it.

# A directory of the host, once to work in and once to look at: what programs
# ask of files, what is read and made, and that there is no way out.
share() {
    rm -rf work # of another run of this case
    mkdir work
    echo secret >secret
    dd if=/dev/urandom of=work/from-host bs=100k count=30 2>/dev/null
    ln -s ../secret work/upwards
    guest share <<END
[[share]]
tag = "work"
path = "work"
[[share]]
tag = "look"
path = "work"
readonly = true
END
    start
    finish
    for cache in none mmap loose; do
        value "$cache files:" | grep -qx good || grep "ax: $cache" console
        [ -z "$(value "$cache left")" ] || echo "$cache: files are left"
    done
    [ "$(value type)" = 1021997 ] || echo "type '$(value type)'"
    [ "$(value sum)" = "$(md5sum <work/from-host)" ] || echo "reads otherwise"
    [ "$(value sent)" = "$(md5sum <work/from-guest)" ] || echo "writes otherwise"
    [ "$(value inner)" = 2 ] || echo "links lead astray"
    [ "$(said outer)" = 0 ] || echo "the guest reads what is no file of it"
    [ "$(cat secret)" = secret ] || echo "the guest writes outside"
    [ "$(said written)" = 0 ] || echo "a read-only share was written"
    [ "$(said read)" = 1 ] || echo "a read-only share cannot be read"
}

# git clone, make and the program that comes of it, on a share, with the tools
# of another one that is the root.
share_build() {
    mkdir built
    tar -xf root.tar && rm root.tar
    memory=256M
    limit=150 # it is a lot of work for an emulated machine in another
    guest share_build <<END
[[share]]
tag = "root"
path = "root"
readonly = true
[[share]]
tag = "work"
path = "built"
END
    start
    finish
    [ "$(said 'files: good')" = 1 ] || echo "what was built does not work"
    [ "$(value status)" = clean ] || echo "git status: '$(value status)'"
    [ -x built/project/files ] || echo "nothing was built"
}
