/*
 * cpuid.h - what CPUID tells a guest: the host's leaves after our policy.
 *
 * Pure, so that every engine shares it and it is tested on every host.
 */
#ifndef AX_ARCH_X86_64_CPUID_H
#define AX_ARCH_X86_64_CPUID_H

#include "backend/backend.h"
#include "base.h"

enum { AX_CPUID_ENTRIES = 256 };

struct ax_cpuid_entry {
    uint32_t leaf, subleaf;
    bool indexed; /* subleaf matters */
    uint32_t eax, ebx, ecx, edx;
};

struct ax_cpuid {
    unsigned count;
    struct ax_cpuid_entry entries[AX_CPUID_ENTRIES];
};

/* What a guest on this engine can have beyond what CPUID of the host says. */
struct ax_cpuid_facts {
    uint32_t tsc_khz;  /* 0: unknown */
    uint32_t apic_khz; /* of the local APIC timer, 0: unknown */
    bool tsc_deadline; /* the engine's local APIC has the mode */
    bool apic;         /* the engine has local APICs at all */
};

/* Is name a feature that policy lists may hold? */
bool ax_cpuid_known(const char *name);

/*
 * The names that look most like an unknown one, for a message; NULL if none
 * does.
 */
const char *ax_cpuid_suggest(const char *name);

/*
 * Turns the engine's supported leaves into those of vCPU index: hides nested
 * virtualization and paravirtual features that cost hypercalls, sets topology,
 * local APIC id, hypervisor and frequency leaves, then policy's hide and
 * expose. expose brings back only what supported has.
 */
void ax_cpuid_apply(struct ax_cpuid *cpuid, const struct ax_cpuid_facts *facts,
                    const struct ax_cpu_policy *policy, unsigned index);

#endif
