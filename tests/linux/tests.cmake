# Debian's kernels in the nested lab; included by tests/CMakeLists.txt. One
# entry is one start of the lab and several guests, each a line of TAP.
function(axvm_linux name label timeout)
    add_test(NAME ${name} COMMAND ${CMAKE_SOURCE_DIR}/tests/linux/run.sh
        --tap ${AXVM_TAP_DIR}/${name}.tap ${ARGN})
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout}
        SKIP_RETURN_CODE 77 COST 1000)
endfunction()

axvm_linux(linux linux 360
    cloud-1-poweroff cloud-2-poweroff generic-1-poweroff
    cloud-1-reboot cloud-1-panic cloud-1-poweroff-axvisor)
axvm_linux(linux_life linux 360 --life
    cloud-suspend cloud-reboot cloud-restart cloud-reset cloud-dump cloud-stop)
axvm_linux(linux_more slow 360
    generic-2-poweroff generic-1-reboot generic-1-panic)
axvm_linux(linux_vtx slow 1200 --vtx cloud-1-poweroff)

# gdb and its guests: Linux; in Bochs also debug exits of every kind.
axvm_linux(linux_debug slow 360 --debug
    cloud-entry cloud-symbols cloud-steps cloud-memory cloud-monitor
    cloud-console cloud-crash cloud-poweroff)
axvm_linux(linux_debug_vtx slow 1800 --vtx --debug
    --guests ${CMAKE_BINARY_DIR}/tests/guest/x86_64
    vtx-entry vtx-soft vtx-read-only vtx-condition vtx-hard vtx-watch vtx-own
    vtx-own-steps vtx-smp vtx-sipi vtx-real vtx-crash vtx-linux)

# Debian's virtio drivers on our devices.
axvm_linux(linux_virtio linux 900 --virtio
    cloud-rng cloud-console cloud-balloon cloud-balloon-report
    cloud-disk-crash cloud-disk-reset cloud-disk-two cloud-disk-fio
    cloud-disk-resize cloud-idle generic-run)
axvm_linux(linux_pci linux 900 --virtio
    cloud-pci-disk-crash cloud-pci-disk-reset cloud-pci-disk-fio
    cloud-pci-disk-resize cloud-pci-console cloud-pci-idle cloud-pci-vsock-vhost
    generic-pci-share generic-pci-run)
axvm_linux(linux_share linux 900 --virtio
    generic-share generic-share-build)
axvm_linux(linux_vsock linux 900 --virtio
    cloud-vsock cloud-vsock-vhost)

# Debian's network card driver on every link of ours.
axvm_linux(linux_net linux 1000 --net $<TARGET_FILE:axvm-run>
    cloud-user cloud-link cloud-pair cloud-tap cloud-tap-vhost
    cloud-pci-user cloud-pci-tap-vhost)

# What needs KVM, in the lab's, as this machine may have none. Left out are guests
# that touch each port and address, or print much: each is an exit, and exits are
# what is dear in the lab; and guest_pit, which once got an interrupt there after
# it had masked the pin, on KVM's own controllers: not understood.
function(axvm_linux_kvm name label)
    add_test(NAME linux_kvm_${name} COMMAND ${CMAKE_SOURCE_DIR}/tests/linux/kvm.sh
        --tap ${AXVM_TAP_DIR}/linux_kvm_${name}.tap ${CMAKE_BINARY_DIR} ${ARGN})
    set_tests_properties(linux_kvm_${name} PROPERTIES LABELS ${label}
        TIMEOUT 1000 SKIP_RETURN_CODE 77 COST 1000)
endfunction()

if(NOT AXVM_SANITIZE)
    axvm_linux_kvm(contract linux -R "^contract_(engine|lifecycle)$")
    axvm_linux_kvm(guest linux -L guest -E "portscan|flood|_pit$")
    axvm_linux_kvm(cli linux -R "^(cli|service)$")
    axvm_linux_kvm(control linux -R "^control$")
endif()
