# Guests that check themselves end with 33: code 0x10, "all passed".
set(SPLIT --set [[cpu.irqchip="split"]])

foreach(name longmode portio mmio ring3 selfmod hlt lapic)
    axvm_guest(${name} ${name} 33 " 0 failed")
endforeach()
axvm_guest(realmode realmode 33 "all passed" "[real mode, REP OUTSB]")
axvm_guest(multiboot multiboot 33 " 0 failed")

# Interrupts, with the I/O APIC in the kernel and in the process.
foreach(name ioapic pit hlt smp realmode ring3 uart longmode)
    axvm_guest(${name}-split ${name} 33 -- ${SPLIT})
endforeach()
axvm_guest(ioapic ioapic 33 " 0 failed")
axvm_guest(pit pit 33 " 0 failed")
axvm_guest(uart uart 33 " 0 failed")

# CPUs: tables, topology, start-up, IPIs.
foreach(cpus 1 2 4)
    set(count --set base.cpu_num=${cpus}
        --set "kernel.cmdline=\"cpus=${cpus}\"")
    axvm_guest(smp-${cpus} smp 33 "PASS ${cpus} CPUs are up" -- ${count})
    axvm_guest(acpi-${cpus} acpi 33 " 0 failed" -- ${count})
endforeach()
axvm_guest(smp-64 smp 33 "PASS 64 CPUs are up" --
    --set base.cpu_num=64 --set [[kernel.cmdline="cpus=64"]])
axvm_guest(smp-4-split smp 33 "PASS 4 CPUs are up" -- ${SPLIT}
    --set base.cpu_num=4 --set [[kernel.cmdline="cpus=4"]])
axvm_guest(longmode-4 longmode 33 " 0 failed" --
    --set base.cpu_num=4 --set [[kernel.cmdline="cpus=4"]])

# Memory below and above the hole under 4 GiB.
axvm_guest(memmap memmap 33 " 0 failed")
axvm_guest(memmap-5G memmap 33 " 0 failed" --
    --set [[base.memory="5G"]] --set [[kernel.cmdline="mem=5G"]])
axvm_guest(memmap-3G memmap 33 " 0 failed" --
    --set [[base.memory="3G"]] --set [[kernel.cmdline="mem=3G"]])

axvm_guest(rtc rtc 33 " 0 failed" --
    --set [[kernel.cmdline="epoch=@NOW@"]])
axvm_guest(ticks ticks 33 "2*ticks=" " 0 failed")
axvm_guest_input(ticks "qqx")
axvm_guest(ticks-split ticks 33 "2*ticks=" " 0 failed" -- ${SPLIT})
axvm_guest_input(ticks-split "qqx")
axvm_guest(nmi nmi 33 "nmi 1" "nmi 2" --
    --set [[kernel.cmdline="self=1"]])
axvm_guest(debug-console portio 33 "1*[e9: forward]" "1*[e9: backwards]")
axvm_guest(uart-echo uart 33 "echo: hello" "echo: you there" --
    --set [[kernel.cmdline="lines=2"]])
axvm_guest_input(uart-echo "hello\\nyou there\\n")

# Every way out, and its status.
axvm_guest(powerdown powerdown 0 "1*powering off")
axvm_guest(powerdown-byte powerdown 0 "1*powering off" --
    --set [[kernel.cmdline="how=byte"]])
axvm_guest(powerdown-acpi powerdown 0 "PM1a control at port 0x604" --
    --set [[kernel.cmdline="how=acpi"]])
axvm_guest(reset reset 0 "1*resetting")
axvm_guest(reset-i8042 reset 0 "1*resetting" --
    --set [[kernel.cmdline="how=i8042"]])
axvm_guest(reset-acpi reset 0 "1*resetting" --
    --set [[kernel.cmdline="how=acpi"]])
axvm_guest(pvpanic pvpanic 6 "1*panicking")
axvm_guest(triplefault triplefault 6 "1*crashing" "triple fault")
axvm_guest(fetch-hole triplefault 6 "1*crashing" --
    --set [[kernel.cmdline="how=fetch"]])
axvm_guest(debugexit-0 debugexit 1 "leaving with code 0")
axvm_guest(debugexit-5 debugexit 11 -- --set [[kernel.cmdline="code=5"]])
axvm_guest(debugexit-word debugexit 85 --
    --set [[kernel.cmdline="code=42 width=2"]])
axvm_guest(debugexit-dword debugexit 255 --
    --set [[kernel.cmdline="code=127 width=4"]])

# Guests that never end by themselves.
axvm_guest(spin spin 124 "1*spinning" -- --timeout 1)
axvm_guest(spin-user spin 124 "1*spinning" -- --timeout 1
    --set [[kernel.cmdline="where=user"]])
axvm_guest(sleep-for-good hlt 124 "1*sleeping for good" -- --timeout 2
    --set [[kernel.cmdline="end=dead"]])

# Rude guests.
axvm_guest(portscan portscan 33 "alive after every port"
    "alive after every hole")
axvm_guest(portscan-split portscan 33 "alive after every hole" -- ${SPLIT}
    --set [[kernel.cmdline="what=memory"]])
axvm_guest(portscan-more portscan 33 "alive after every port" -- ${SPLIT}
    --set [[kernel.cmdline="what=ports passes=4"]])
set_tests_properties(guest_portscan-more PROPERTIES LABELS slow)
axvm_guest(flood flood 33 "1024* bcdef" "1*00000400 " --
    --set [[kernel.cmdline="size=64K"]])
axvm_guest(flood-4M flood 33 "65536* bcdef" "1*00010000 " -- --timeout 300)
set_tests_properties(guest_flood-4M PROPERTIES LABELS slow TIMEOUT 330)

# What tests/gdb looks into, without a debugger.
axvm_guest(debuggee debuggee 33 " 0 failed" "through the modes of the CPU")
axvm_guest(debuggee-smp debuggee-smp 33 " 0 failed" "working" --
    --set [[kernel.cmdline="rounds=100"]])

# The demo guest from its file, and as the binary carries it.
set(DEMO_TEXTS "Hello from inside" "(2 of 2 run)" "ticks of the PIT"
    "5*demo>" "16 bytes of memory" "no such command" "Good bye.")
axvm_guest(demo demo 0 ${DEMO_TEXTS} -- --set base.cpu_num=2)
axvm_guest_input(demo
    "help\\nnonsense\\n\\003\\025peeq\\010k 100000\\npoweroff\\n")
axvm_guest(demo-crash demo 6 "Dividing by zero" "triple fault")
axvm_guest_input(demo-crash "fault\\n")
# An ELF64 file whose multiboot header has an entry of its own.
axvm_guest(multiboot-entry selfmod 33 "multiboot entry" " 0 failed"
    -- --set "kernel.boot_protocol=\"multiboot\"")
