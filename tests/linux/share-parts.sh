# shellcheck shell=bash disable=SC2154,SC2034
# share-parts.sh - what the cases of shares take along. Read by virtio-parts.sh.

"${CC:-cc}" -O2 -static -Wall -Wextra -Werror -o "$work/files" \
    "$here/files.c" || die "the lab's files does not compile"
initrd+=("$work/files")

# A tree with git, make, a C compiler and a project, for a guest's root. Busybox
# is its shell; what it has to run is copied with its libraries.
root=$work/root
into_root() {
    local file
    for file; do
        [ -e "$file" ] || die "$file is missing"
        cp -L --parents "$file" "$root"
        ldd "$file" 2>/dev/null | grep -o '/[^ ]*' |
            while IFS= read -r library; do
                [ -e "$root$library" ] || cp -L --parents "$library" "$root"
            done
    done
}
take_root() {
    local gcc part applet
    gcc=$(dirname "$("${CC:-cc}" -print-libgcc-file-name)")
    mkdir -p "$root"/{bin,dev,proc,sys,tmp,work,etc,usr/bin}
    into_root "$(command -v busybox)"
    for applet in $(busybox --list); do
        ln -sf "$(command -v busybox)" "$root/bin/$applet"
    done
    into_root /usr/bin/{git,make,gcc,as,ld} /usr/lib/git-core/git
    for part in cc1 collect2 crtbegin.o crtend.o crtbeginS.o crtendS.o \
        libgcc.a libgcc_s.so liblto_plugin.so include; do
        [ ! -d "$gcc/$part" ] || cp -rL --parents "$gcc/$part" "$root"
        [ -d "$gcc/$part" ] || into_root "$gcc/$part"
    done
    ln -s git "$root/usr/bin/git-upload-pack"
    cp -r --parents /usr/include/{x86_64-linux-gnu,linux,asm-generic} "$root"
    find /usr/include -maxdepth 1 -type f -exec cp -t "$root" --parents {} +
    into_root /usr/lib/x86_64-linux-gnu/{Scrt1,crt1,crti,crtn}.o \
        /usr/lib/x86_64-linux-gnu/{libc.so,libc_nonshared.a,libgcc_s.so.1}
    mkdir "$root/project"
    cp "$here"/{files,peer}.c "$root/project/"
    printf 'CC = gcc\nCFLAGS = -O1 -Wall\nall: files peer\n' >"$root/project/Makefile"
    git -C "$root/project" init -q
    git -C "$root/project" add .
    git -C "$root/project" -c user.name=lab -c user.email=lab commit -qm lab
    cat >"$root/build.sh" <<'END'
export PATH=/bin:/usr/bin HOME=/tmp
git config --global safe.directory '*'
cd /work && git clone -q /project project && cd project && make -s &&
    ./files try mmap share | sed 's/^/ax: /'
git status --porcelain | grep -v '^??' || echo "ax: status clean"
poweroff -f
END
}
# As one file: the lab would take links for what they lead to.
case " $*" in
*-share-build*)
    { has git && has make && has gcc; } || skip "git, make or gcc is missing"
    take_root
    tar -C "$work" -cf "$work/root.tar" root
    options+=(--file "$work/root.tar")
    ;;
esac
