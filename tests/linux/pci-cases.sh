# shellcheck shell=dash disable=SC2034
# pci-cases.sh - cases of the other files once more, with virtio over PCI;
# virtio.sh reads it.

# on_pci CASE...: what it says is wrong, and whether the guest was there at all.
on_pci() {
    transport=pci
    "$@"
    [ "$(value transport | sed 's/ messages [1-9].*//')" = pci ] ||
        echo "transport: '$(value transport)'"
}

pci_disk_crash() { on_pci disk_crash; }
pci_disk_reset() { on_pci disk_reset; }
pci_disk_fio() { on_pci disk_fio; }
pci_disk_resize() { on_pci disk_resize; }
pci_console() { on_pci console; }
pci_idle() { on_pci idle; }
pci_user() { on_pci user; }
pci_tap_vhost() { on_pci tap_vhost; }
pci_vsock_vhost() { on_pci vsock_vhost; }
pci_share() { on_pci share; }

# Which looks at that itself.
pci_run() {
    transport=pci
    run
}
