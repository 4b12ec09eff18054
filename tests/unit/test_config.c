/* test_config.c - reading a guest file: kinds, defaults, messages, --set. */
#include "conf/hostconf.h"
#include "unit/config_load.h"

#include <sys/stat.h>
#include <unistd.h>

static struct loaded l;

static void fini(void)
{
    loaded_fini(&l);
}

TestSuite(config, .fini = fini);

Test(config, a_kernel_path_is_enough)
{
    load_good(&l, KERNEL);
    cr_assert_str_eq(l.conf->file, "dir/guest.toml");
    cr_assert_str_eq(l.conf->name, "guest");
    cr_assert_str_eq(l.conf->kernel.path, "dir/vmlinuz");
    cr_assert_eq(l.conf->kernel.pos.line, 2);
    cr_assert_eq(l.conf->kernel.pos.column, 15);
    cr_assert_eq(l.conf->id, 0);
    cr_assert_eq(l.conf->vm_type, 1);
    cr_assert_eq(l.conf->cpu_num, 1);
    cr_assert_eq(l.conf->cpu_ids[0], 0);
    cr_assert_eq(l.conf->cpu_ids[63], 63);
    cr_assert_eq(l.conf->cpu_sets[0], 0);
    cr_assert_eq(l.conf->memory, AX_MIB(256));
    cr_assert_eq(l.conf->region_count, 0);
    cr_assert_str_eq(l.conf->arch, "x86_64");
    cr_assert_eq(l.conf->arch_pos.line, 0);
    cr_assert_not_null(l.conf->arch_why);
    cr_assert_null(l.conf->cmdline);
    cr_assert_null(l.conf->initrd.path);
    cr_assert_not(l.conf->axvisor);
    cr_assert_not(l.conf->entry.given);
    cr_assert_eq(l.conf->protocol, AX_BOOT_AUTO);
    cr_assert_eq(l.conf->entry_mode, AX_ENTRY_AUTO);
    cr_assert_eq(l.conf->on_reboot, AX_ON_END_STOP);
    cr_assert_eq(l.conf->on_poweroff, AX_ON_END_STOP);
    cr_assert_eq(l.conf->on_crash, AX_ON_END_STOP);
    cr_assert_eq(l.conf->stop_timeout_ns, 10000000000ULL);
    cr_assert_eq(l.conf->backing, AX_BACKING_ANONYMOUS);
    cr_assert_eq(l.conf->hugepages, AX_HUGEPAGES_OFF);
    cr_assert_eq(l.conf->irqchip, AX_IRQCHIP_KERNEL);
    cr_assert_null(l.conf->cpu_hide[0]);
    cr_assert_null(l.conf->cpu_expose[0]);
    cr_assert_null(l.conf->excluded[0]);
    cr_assert_eq(l.conf->interrupt_mode, AX_IRQ_MODE_EMU);
    cr_assert_eq(l.conf->address_space_policy, AX_ASPACE_VIRTUALIZED);
    cr_assert_str_eq(l.conf->console, "stdio");
    cr_assert(l.conf->escapes);
    cr_assert(l.conf->debug_exit);
    cr_assert(l.conf->debug_port);
    cr_assert_eq(l.conf->timeout_ns, 0);
    cr_assert_null(l.conf->gdb);
    cr_assert_not(l.conf->gdb_wait);
    cr_assert_eq(l.conf->gdb_on, 0);
}

Test(config, every_key_of_ours_is_read)
{
    load_good(&l, "[base]\nid = 7\nname = \"n\"\nvm_type = 2\ncpu_num = 2\n"
                  "memory = \"512M\"\narch = \"x86_64\"\n"
                  "phys_cpu_ids = [4, 2]\non_reboot = \"restart\"\n"
                  "on_crash = \"restart\"\non_poweroff = \"restart\"\n"
                  "stop_timeout = 0.5\n"
                  "[kernel]\nkernel_path = \"/k\"\ninitrd = \"i\"\n"
                  "cmdline = \"a b\"\nentry_mode = \"long\"\n"
                  "[memory]\nbacking = \"memfd\"\nhugepages = \"2M\"\n"
                  "[cpu]\nhide = [\"avx\", \"sse\"]\nexpose = [\"vmx\"]\n"
                  "irqchip = \"split\"\n"
                  "[console]\nmode = \"none\"\nescapes = false\n"
                  "[debug]\nexit_port = false\ndebug_port = false\n"
                  "timeout = 1.5\ngdb = \"[::1]:1\"\ngdb_wait = true\n"
                  "gdb_on = [\"reset\"]\n");
    cr_assert_eq(l.conf->id, 7);
    cr_assert_str_eq(l.conf->name, "n");
    cr_assert_eq(l.conf->vm_type, 2);
    cr_assert_eq(l.conf->memory, AX_MIB(512));
    cr_assert_eq(l.conf->stop_timeout_ns, 500000000ULL);
    cr_assert_eq(l.conf->arch_pos.line, 7);
    cr_assert_eq(l.conf->cpu_ids[0], 4);
    cr_assert_eq(l.conf->cpu_ids[1], 2);
    cr_assert_str_eq(l.conf->kernel.path, "/k");
    cr_assert_str_eq(l.conf->initrd.path, "dir/i");
    cr_assert_str_eq(l.conf->cmdline, "a b");
    cr_assert_eq(l.conf->entry_mode, AX_ENTRY_LONG);
    cr_assert_eq(l.conf->on_reboot, AX_ON_END_RESTART);
    cr_assert_eq(l.conf->on_crash, AX_ON_END_RESTART);
    cr_assert_eq(l.conf->on_poweroff, AX_ON_END_RESTART);
    cr_assert_eq(l.conf->backing, AX_BACKING_MEMFD);
    cr_assert_eq(l.conf->hugepages, AX_HUGEPAGES_2M);
    cr_assert_str_eq(l.conf->cpu_hide[1], "sse");
    cr_assert_null(l.conf->cpu_hide[2]);
    cr_assert_str_eq(l.conf->cpu_expose[0], "vmx");
    cr_assert_eq(l.conf->irqchip, AX_IRQCHIP_SPLIT);
    cr_assert_str_eq(l.conf->console, "none");
    cr_assert_not(l.conf->escapes);
    cr_assert_not(l.conf->debug_exit);
    cr_assert_not(l.conf->debug_port);
    cr_assert_eq(l.conf->timeout_ns, 1500000000);
    cr_assert_str_eq(l.conf->gdb, "[::1]:1");
    cr_assert(l.conf->gdb_wait);
    cr_assert_eq(l.conf->gdb_on, AX_GDB_ON_RESET);
}

/* ---- kinds ---- */

static void memory_is(const char *value, uint64_t bytes)
{
    char text[128];

    snprintf(text, sizeof(text), KERNEL "[base]\nmemory = %s\n", value);
    load_good(&l, text);
    cr_assert_eq(l.conf->memory, bytes, "%s", value);
}

static void memory_is_bad(const char *value, const char *words)
{
    char text[128];

    snprintf(text, sizeof(text), KERNEL "[base]\nmemory = %s\n", value);
    load_bad(&l, text, words);
}

Test(config, sizes)
{
    memory_is("\"512M\"", AX_MIB(512));
    memory_is("\"4G\"", AX_GIB(4));
    memory_is("\"2048K\"", AX_MIB(2));
    memory_is("\"1T\"", AX_GIB(1024));
    memory_is("\"16m\"", AX_MIB(16));
    memory_is("\"16MiB\"", AX_MIB(16));
    memory_is("\"16MB\"", AX_MIB(16));
    memory_is("\"1_048_576\"", AX_MIB(1));
    memory_is("0x100_0000", AX_MIB(16));
    memory_is_bad("\"\"", "is not a size");
    memory_is_bad("\"M\"", "is not a size");
    memory_is_bad("\"12X\"", "is not a size");
    memory_is_bad("\"12MM\"", "is not a size");
    memory_is_bad("\"-1M\"", "is not a size");
    memory_is_bad("\"1.5G\"", "is not a size");
    memory_is_bad("\"99999999999999999999\"", "is not a size");
    memory_is_bad("\"99999999999999T\"", "is not a size");
    memory_is_bad("\"8388608T\"", "out of range");
    memory_is_bad("\"1K\"", "out of range");
    memory_is_bad("-1", "out of range");
    memory_is_bad("0", "out of range");
    memory_is_bad("1_048_577", "whole number of pages");
    memory_is_bad("1.5", "found a float");
}

static void timeout_is(const char *value, uint64_t ns)
{
    char text[128];

    snprintf(text, sizeof(text), KERNEL "[debug]\ntimeout = %s\n", value);
    load_good(&l, text);
    cr_assert_eq(l.conf->timeout_ns, ns, "%s", value);
}

Test(config, seconds)
{
    timeout_is("0", 0);
    timeout_is("60", 60000000000);
    timeout_is("0.25", 250000000);
    timeout_is("0.00001", 1000000); /* not none */
    timeout_is("1000000000", 1000000000000000000);
    load_bad(&l, KERNEL "[debug]\ntimeout = -1\n", "out of range");
    load_bad(&l, KERNEL "[debug]\ntimeout = nan\n", "out of range");
    load_bad(&l, KERNEL "[debug]\ntimeout = inf\n", "out of range");
    load_bad(&l, KERNEL "[debug]\ntimeout = \"1\"\n", "found a string");
}

Test(config, words_and_their_aliases)
{
    static const struct {
        const char *text;
        enum ax_hugepages pages;
    } pages[] = {
        {"\"off\"", AX_HUGEPAGES_OFF},
        {"false", AX_HUGEPAGES_OFF},
        {"true", AX_HUGEPAGES_TRANSPARENT},
        {"\"transparent\"", AX_HUGEPAGES_TRANSPARENT},
        {"\"1G\"", AX_HUGEPAGES_1G},
    };
    char text[128];

    for (unsigned i = 0; i < AX_ARRAY_LEN(pages); i++) {
        snprintf(text, sizeof(text), KERNEL "[memory]\nhugepages = %s\n",
                 pages[i].text);
        load_good(&l, text);
        cr_assert_eq(l.conf->hugepages, pages[i].pages);
    }
    load_bad(&l, KERNEL "[memory]\nhugepages = 2\n", "found an integer");
    load_bad(&l, KERNEL "[memory]\nbacking = true\n", "found a boolean");
    load_bad(&l, KERNEL "[cpu]\nirqchip = \"kernal\"\n",
             "did you mean \"kernel\"?");
    cr_assert(told(&l, "one of \"kernel\", \"split\", \"none\""));
    load_bad(&l, KERNEL "[cpu]\nirqchip = \"zzz\"\n", "cannot be \"zzz\"");
    cr_assert_not(told(&l, "did you mean"));
}

Test(config, integers)
{
    load_bad(&l, KERNEL "[base]\ncpu_num = 0\n",
             "expected: an integer from 1 to 64");
    load_bad(&l, KERNEL "[base]\ncpu_num = 65\n", "out of range: 65");
    load_bad(&l, KERNEL "[base]\nid = -1\n", "out of range: -1");
    load_bad(&l, KERNEL "[base]\nid = \"1\"\n", "without quotes");
    load_bad(&l, KERNEL "[base]\nid = \"one\"\n", "found a string");
    cr_assert_not(told(&l, "without quotes"));
    load_bad(&l, KERNEL "entry_point = 0x10_0000_0000_0000\n",
             "out of range: 0x10000000000000");
}

Test(config, strings_and_paths)
{
    load_bad(&l, "[kernel]\nkernel_path = \"\"\n", "must not be empty");
    load_bad(&l, "[kernel]\nkernel_path = 7\n", "expected: a path");
    load_bad(&l, KERNEL "[base]\nname = \"\"\n", "must not be empty");
    load_bad(&l, KERNEL "[base]\nname = \"a\\u001bb\"\n", "control character");
    load_good(&l, KERNEL "cmdline = \"\"\n");
    cr_assert_str_eq(l.conf->cmdline, "");
    load_bad(&l, KERNEL "[cpu]\nhide = [\"\"]\n", "empty string");
    load_bad(&l, KERNEL "[cpu]\nhide = [1]\n", "found an integer");
    load_bad(&l, KERNEL "[cpu]\nhide = \"avx\"\n", "an array of strings");
    load_bad(&l, KERNEL "[cpu]\nhide = [\"a\"]\nexpose = [\"b\", \"a\"]\n",
             "'a' is both hidden and exposed");
    load_bad(&l, KERNEL "[console]\nescapes = 1\n", "true or false");
}

Test(config, relative_paths_are_seen_from_the_file)
{
    l.src.file = "guest.toml";
    load_good(&l, KERNEL);
    cr_assert_str_eq(l.conf->kernel.path, "vmlinuz");
    l.src.file = "/guest.toml";
    load_good(&l, KERNEL);
    cr_assert_str_eq(l.conf->kernel.path, "/vmlinuz");
    l.src.file = "../a/b.toml";
    load_good(&l, KERNEL "[console]\nmode = \"unix:s\"\n");
    cr_assert_str_eq(l.conf->kernel.path, "../a/vmlinuz");
    cr_assert_str_eq(l.conf->console, "unix:../a/s");
    load_good(&l, KERNEL "[console]\nmode = \"file:/s\"\n");
    cr_assert_str_eq(l.conf->console, "file:/s");
    load_warns(&l, "[kernel]\nkernel_path = \"~/k\"\n", "not expanded");
    cr_assert_str_eq(l.conf->kernel.path, "../a/~/k");
}

Test(config, the_name_comes_from_the_file)
{
    static const char *const names[][2] = {
        {"a/b/linux.toml", "linux"},
        {"linux", "linux"},
        {"linux.toml.toml", "linux.toml"},
        {".toml", ".toml"},
        {"a\nb", "guest"},
        {"dir/", "guest"},
    };

    for (unsigned i = 0; i < AX_ARRAY_LEN(names); i++) {
        l.src.file = names[i][0];
        load_good(&l, KERNEL);
        cr_assert_str_eq(l.conf->name, names[i][1]);
    }
}

/* ---- messages ---- */

Test(config, a_message_is_place_line_caret_and_help)
{
    cr_assert_eq(load_again(&l, "[kernel]\nkernal_path = \"bzImage\"\n"),
                 -EINVAL);
    cr_assert_str_eq(l.told,
                     "dir/guest.toml:2:1: error: unknown key 'kernal_path' in "
                     "[kernel]\n"
                     "    2 | kernal_path = \"bzImage\"\n"
                     "      | ^\n"
                     "  help: did you mean 'kernel_path'?\n");
}

Test(config, the_caret_stands_under_the_column)
{
    load_bad(&l, KERNEL "[base]\n\tid\t=\t\"\xc3\xa4\"\n",
             "dir/guest.toml:4:7: error");
    cr_assert(told(&l, "    4 | \tid\t=\t\"\xc3\xa4\"\n"
                       "      | \t  \t \t^\n"));
    /* Characters before the caret count once, however many bytes they are. */
    load_bad(&l, KERNEL "base = {\"\xc3\xa4\xc3\xa4\" = 1}\n", "base");
    load_bad(&l, KERNEL "[cpu]\nhide = [\"\xe2\x82\xac\", 1]\n",
             "      |              ^\n");
}

Test(config, long_lines_are_cut_around_the_caret)
{
    char text[4096] = KERNEL "[cpu]\nhide = [\"";
    const char *line, *caret;

    memset(text + strlen(text), 'x', 3000);
    strcat(text, "\", 1]\n");
    load_bad(&l, text, ":4:");
    line = strstr(l.told, "    4 | ...xxx");
    cr_assert_not_null(line);
    cr_assert_lt(strcspn(line, "\n"), 200);
    caret = strchr(line, '^');
    cr_assert_not_null(caret);
    caret -= strcspn(line, "\n") + 1; /* to the line above */
    cr_assert_eq(*caret, '1', "%s", line);
}

Test(config, control_characters_never_reach_the_terminal)
{
    cr_assert_eq(load_again(&l, "[kernel]\n\"k\\u001b[31m\" = \"\"\n"),
                 -EINVAL);
    cr_assert_eq(load_again(&l, "[base]\nname = \"\x1b[31m\xc2\x9b"
                                "31m\xff\"\n"),
                 -EINVAL);
    cr_assert_null(strchr(l.told, '\x1b'));
    cr_assert_null(strchr(l.told, '\xff'));
    cr_assert_null(strstr(l.told, "\xc2\x9b"));
    load_bad(&l, KERNEL "[cpu]\nirqchip = \"\\u001b[31m\\n\"\n",
             "cannot be \"?[31m?\"");
    cr_assert_null(strchr(l.told, '\x1b'));
    l.src.file = "\x1b[31m.toml";
    cr_assert_eq(load_again(&l, "x"), -EINVAL);
    cr_assert_null(strchr(l.told, '\x1b'));
}

Test(config, unknown_names_are_guessed)
{
    load_bad(&l, KERNEL "[base]\nkernel_load_addr = 1\n",
             "kernel_load_addr belongs to [kernel]");
    load_bad(&l, KERNEL "[base]\nramdisk = 1\n",
             "did you mean 'ramdisk_path' of [kernel]?");
    load_bad(&l, KERNEL "[devises]\nx = 1\n", "did you mean [devices]?");
    load_bad(&l, KERNEL "[zzz]\nx = 1\n", "one of [base], [kernel], [memory]");
    load_bad(&l, KERNEL "[base]\nzzz = 1\n", "unknown key 'zzz' in [base]");
    cr_assert_not(told(&l, "help"));
    load_bad(&l, KERNEL "[base]\nnmae = \"swapped\"\n", "'name'");
    load_bad(&l, KERNEL "[base]\nName = \"case\"\n", "'name'");
    load_bad(&l, KERNEL "[base]\ncpu-num = 1\n", "'cpu_num'");
    load_bad(&l, "kernel_path = \"k\"\n", "stands outside any table");
    cr_assert(told(&l, "kernel_path belongs to [kernel]"));
    load_bad(&l,
             KERNEL "[base]\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx = 1",
             "unknown key");
}

Test(config, lenient_makes_unknown_names_warnings)
{
    l.src.lenient = true;
    load_warns(&l, KERNEL "zzz = 1\n[foo]\nx = 1\n[base]\nidd = 3\n",
               "unknown key 'zzz'");
    cr_assert(told(&l, "unknown table [foo]"));
    cr_assert(told(&l, "did you mean 'id'?"));
    load_warns(&l, "x = 1\n" KERNEL, "stands outside any table");
    load_warns(&l,
               KERNEL "[devices]\npassthrough_ports = "
                      "[{base = 1, length = 1, x = 2}]",
               "has no field 'x'");
    /* But what is there has to be right, and a kernel has to be there. */
    load_bad(&l, KERNEL "[base]\nid = \"x\"\n", "found a string");
    load_bad(&l, "[kernel]\nkernal_path = \"k\"\n", "'kernel_path' is missing");
}

Test(config, a_table_must_be_a_table)
{
    load_bad(&l, "base = 3\n" KERNEL, "expected: a table");
    load_bad(&l, KERNEL "[[base]]\nid = 3\n", "found an array");
}

Test(config, all_mistakes_are_told_in_one_pass)
{
    cr_assert_eq(load_again(&l, "[base]\nid = \"one\"\ncpu_num = 65\n"
                                "[kernel]\nkernal_path = \"x\"\n"
                                "boot_protocol = \"multibot\"\n"
                                "[devices]\nemu_devices = [[\"x\", 0, 0, 0, "
                                "0x99, []]]\n"),
                 -EINVAL);
    cr_assert_eq(l.counts[AX_SEVERITY_ERROR], 5, "%s", l.told);
    cr_assert(told(&l, "dir/guest.toml:2:6: error: "));
    cr_assert(told(&l, "dir/guest.toml:3:11: error: "));
    cr_assert(told(&l, "dir/guest.toml:5:1: error: "));
    cr_assert(told(&l, "dir/guest.toml:6:17: error: "));
    cr_assert(told(&l, "dir/guest.toml:8:16: error: "));
}

Test(config, floods_of_mistakes_are_counted)
{
    char text[8192] = KERNEL "[base]\n";

    for (unsigned i = 0; i < 300; i++)
        sprintf(text + strlen(text), "zz%u = 1\n", i);
    cr_assert_eq(load_again(&l, text), -EINVAL);
    cr_assert_eq(l.counts[AX_SEVERITY_ERROR], 101);
    cr_assert(told(&l, "dir/guest.toml: error: 20"));
    cr_assert(told(&l, "more problems are not shown"));
}

Test(config, what_is_no_toml_is_told_once)
{
    load_bad(&l, KERNEL "id = \n", "dir/guest.toml:3:");
    cr_assert(told(&l, "invalid TOML: "));
    load_bad(&l, KERNEL "kernel_path = \"x\"\n", "'kernel_path'");
    load_bad(&l, "[a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a]", "too deeply");
}

/* ---- files ---- */

static char dir[] = P_tmpdir "/axvm-config-XXXXXX";

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    fini();
    rmdir(dir);
}

TestSuite(config_file, .init = make_dir, .fini = remove_dir);

static char *file_at(const char *name, const void *bytes, size_t size)
{
    static char path[2][256];
    static unsigned turn;
    FILE *f;

    turn = !turn;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
    f = fopen(path[turn], "w");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, size, f), size);
    fclose(f);
    return path[turn];
}

Test(config_file, is_read_from_the_disk)
{
    char *kernel = file_at("vmlinuz", "x", 1);
    char *path = file_at("vm.toml", KERNEL, strlen(KERNEL));

    l.src.file = path;
    l.src.need_files = true;
    load_good(&l, NULL);
    cr_assert_eq(l.told[0], '\0', "%s", l.told);
    cr_assert_str_eq(l.conf->kernel.path, kernel);
    cr_assert_str_eq(l.conf->name, "vm");
    unlink(kernel);
    /* A missing image is an error only for who wants to run the guest. */
    cr_assert_eq(load_again(&l, NULL), -EINVAL);
    cr_assert(told(&l, ":2:15: error: kernel_path: cannot open"));
    cr_assert(told(&l, "No such file or directory"));
    l.src.need_files = false;
    load_warns(&l, NULL, "warning: kernel_path: cannot open");
    unlink(path);
}

Test(config_file, must_be_a_regular_file_of_at_most_a_mebibyte)
{
    char *big = malloc(AX_MIB(1) + 1), *path;

    memset(big, '\n', AX_MIB(1) + 1);
    l.src.file = path = file_at("big.toml", big, AX_MIB(1) + 1);
    cr_assert_eq(load_again(&l, NULL), -EFBIG);
    cr_assert(told(&l, "big.toml: error: larger than 1 MiB"));
    unlink(path);
    big[AX_MIB(1)] = '\0';
    memcpy(big, KERNEL, strlen(KERNEL));
    load_good(&l, big);
    loaded_fini(&l);
    big[AX_MIB(1)] = '\n';
    l.src.size = AX_MIB(1) + 1;
    l.src.text = big;
    cr_assert_eq(ax_config_load(&l.src, &l.conf), -EFBIG);
    free(big);
    l.src.file = "nowhere.toml";
    cr_assert_eq(load_again(&l, NULL), -ENOENT);
    cr_assert(told(&l, "nowhere.toml: error: cannot open: No such file"));
    l.src.file = dir;
    cr_assert_eq(load_again(&l, NULL), -EISDIR);
    l.src.file = "/dev/null";
    cr_assert_eq(load_again(&l, NULL), -EINVAL);
    cr_assert(told(&l, "not a regular file"));
    path = file_at("fifo", "", 0);
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    l.src.file = path;
    cr_assert_eq(load_again(&l, NULL), -EINVAL); /* and does not wait */
    unlink(path);
}

Test(config_file, a_directory_is_no_kernel)
{
    char text[512];

    l.src.need_files = true;
    snprintf(text, sizeof(text), "[kernel]\nkernel_path = \"%s\"\n", dir);
    load_bad(&l, text, "Is a directory");
}

Test(config, a_builtin_guest_needs_no_kernel_file)
{
    l.src.file = "(demo)";
    l.src.builtin = true;
    l.src.need_files = true;
    load_good(&l, "[base]\nname = \"demo\"\n");
    cr_assert_eq(l.told[0], '\0', "%s", l.told);
    load_good(&l, "[kernel]\nkernel_path = \"built-in\"\n");
    cr_assert_eq(l.told[0], '\0', "%s", l.told);
}

/* ---- where debuggers connect ---- */

static void gdb_is(const char *value, const char *spec)
{
    char text[128];

    snprintf(text, sizeof(text), KERNEL "[debug]\ngdb = %s\n", value);
    load_good(&l, text);
    cr_assert_str_eq(l.conf->gdb, spec);
}

static void gdb_is_bad(const char *value, const char *words)
{
    char text[128];

    snprintf(text, sizeof(text), KERNEL "[debug]\ngdb = %s\n", value);
    load_bad(&l, text, words);
    cr_assert(told(&l, "dir/guest.toml:4:7: error: "), "%s", l.told);
}

Test(config, a_debugger_connects_somewhere)
{
    gdb_is("1234", "1234");
    gdb_is("\"1234\"", "1234");
    gdb_is("0", "0");
    gdb_is("\"*:1234\"", "*:1234");
    gdb_is("\"unix:/g\"", "unix:/g");
    gdb_is("\"unix:g\"", "unix:dir/g");
    gdb_is_bad("65536", "expected [HOST:]PORT");
    gdb_is_bad("-1", "expected [HOST:]PORT");
    gdb_is_bad("\"\"", "expected [HOST:]PORT");
    gdb_is_bad("\"unix:\"", "expected unix:PATH");
    gdb_is_bad("\"::1:1234\"", "gdb \"::1:1234\": an IPv6 address");
    gdb_is_bad("true", "found a boolean");
    cr_assert(told(&l, "expected: a port, \"HOST:PORT\" or \"unix:PATH\""),
              "%s", l.told);
    gdb_is_bad("1.5", "found a float");
}

Test(config, events_for_a_debugger)
{
    load_good(&l, KERNEL "[debug]\ngdb_on = []\n");
    cr_assert_eq(l.conf->gdb_on, 0);
    load_good(&l, KERNEL "[debug]\n"
                         "gdb_on = [\"poweroff\", \"crash\", \"crash\"]\n");
    cr_assert_eq(l.conf->gdb_on, AX_GDB_ON_CRASH | AX_GDB_ON_POWEROFF);
    load_bad(&l, KERNEL "[debug]\ngdb_on = [\"crash\", \"crush\"]\n",
             "dir/guest.toml:4:20: error: 'gdb_on' cannot be \"crush\"");
    cr_assert(told(&l, "did you mean \"crash\"?"), "%s", l.told);
    load_bad(&l, KERNEL "[debug]\ngdb_on = \"crash\"\n", "found a string");
    cr_assert(told(&l, "an array, each one of \"crash\", \"reset\", "
                       "\"poweroff\""),
              "%s", l.told);
    load_bad(&l, KERNEL "[debug]\ngdb_on = [1]\n", "found an integer");
    load_bad(&l, KERNEL "[debug]\ngdb_on = [true]\n", "found a boolean");
    load_bad(&l, KERNEL "[debug]\ngdb_wait = 1\n", "found an integer");
    cr_assert_eq(ax_config_gdb_event("reset,x", 5), AX_GDB_ON_RESET);
    cr_assert_eq(ax_config_gdb_event("reset", 4), 0);
    cr_assert_eq(ax_config_gdb_event("", 0), 0);
}

/* ---- overrides ---- */

static void set(const char *one, const char *two)
{
    l.sets[0] = one;
    l.sets[1] = two;
    l.sets[2] = NULL;
}

Test(config, overrides_replace_values_of_the_file)
{
    set("base.cpu_num=4", "kernel.cmdline=console=ttyS0 quiet");
    load_good(&l, KERNEL "cmdline = \"old\"\n[base]\ncpu_num = 2\n");
    cr_assert_eq(l.conf->cpu_num, 4);
    cr_assert_str_eq(l.conf->cmdline, "console=ttyS0 quiet");
    set("base.memory=64M", "base.phys_cpu_ids=[ 9 ]");
    load_good(&l, KERNEL);
    cr_assert_eq(l.conf->memory, AX_MIB(64));
    cr_assert_eq(l.conf->cpu_ids[0], 9);
    /* The last one wins; a value that is replaced need not be right. */
    set("base.id=1", "base.id=2");
    load_good(&l, KERNEL "[base]\nid = \"x\"\n");
    cr_assert_eq(l.conf->id, 2);
    set("base.name=\"a b\" # comment", NULL);
    load_good(&l, KERNEL);
    cr_assert_str_eq(l.conf->name, "a b");
    set("kernel.cmdline=", NULL);
    load_good(&l, KERNEL);
    cr_assert_str_eq(l.conf->cmdline, "");
    set("kernel.memory_regions=[[0, 0x200000, 7, 0]]", NULL);
    load_good(&l, KERNEL);
    cr_assert_eq(l.conf->region_count, 1);
    cr_assert_eq(l.conf->regions[0].pos.line, 0);
    set("debug.gdb=unix:g", "debug.gdb_on=[\"crash\"]");
    load_good(&l, KERNEL "[debug]\ngdb = \"nonsense\"\n");
    cr_assert_str_eq(l.conf->gdb, "unix:g");
    cr_assert_eq(l.conf->gdb_on, AX_GDB_ON_CRASH);
    set("kernel.kernel_path=k", NULL);
    load_good(&l, "");
    cr_assert_str_eq(l.conf->kernel.path, "k"); /* as the shell sees it */
    cr_assert_eq(l.conf->kernel.pos.line, 0);
    cr_assert(told(&l, "--set:1:20: warning: kernel_path"));
}

Test(config, mistakes_in_overrides_show_the_override)
{
    set("base.id=1", "base.cpu_num=  99");
    cr_assert_eq(load_again(&l, KERNEL), -EINVAL);
    cr_assert_eq(strncmp(l.told,
                         "--set:2:16: error: 'cpu_num' is out of range: 99\n"
                         "    2 | base.cpu_num=  99\n"
                         "      |                ^\n"
                         "  expected: an integer from 1 to 64\n",
                         100),
                 0, "%s", l.told);
    set("base.cpu_nmu=1", NULL);
    load_bad(&l, KERNEL, "--set:1:6: error: unknown key 'cpu_nmu' in [base]");
    cr_assert(told(&l, "did you mean 'cpu_num'?"));
    set("bsae.id=1", NULL);
    load_bad(&l, KERNEL, "did you mean [base]?");
    set("base.id", NULL);
    load_bad(&l, KERNEL, "TABLE.KEY=VALUE");
    set("base=1", NULL);
    load_bad(&l, KERNEL, "a table and a key");
    set("base.name=\x1b[31m", NULL);
    load_bad(&l, KERNEL, "one line of UTF-8");
    cr_assert_null(strchr(l.told, '\x1b'));
    set("base.name=\xff", NULL);
    load_bad(&l, KERNEL, "one line of UTF-8");
    set("base.name=a\nb", NULL);
    load_bad(&l, KERNEL, "one line of UTF-8");
    set("kernel.memory_regions=[[0,1,7,0],[0,1,\"x\",0]]", NULL);
    load_bad(&l, KERNEL, "--set:1:39: error: 'flags of memory region'");
    /* An open bracket makes it no TOML, so it is a string. */
    set("base.phys_cpu_ids=[1", NULL);
    load_bad(&l, KERNEL, "found a string");
    set("debug.gdb=99999", NULL);
    load_bad(&l, KERNEL, "--set:1:11: error: gdb \"99999\"");
}

/* ---- host defaults ---- */

Test(config, the_hosts_console_is_the_default)
{
    char spec[] = "pty", bad[] = "pyt";
    struct ax_hostconf host = {.console = spec};

    l.src.host = &host;
    load_good(&l, KERNEL);
    cr_assert_str_eq(l.conf->console, "pty");
    load_good(&l, KERNEL "[console]\nmode = \"none\"\n");
    cr_assert_str_eq(l.conf->console, "none");
    host.console = bad;
    load_bad(&l, KERNEL, "this host's default");
    cr_assert(told(&l, "axvm.conf"));
    load_bad(&l, KERNEL "[console]\nmode = \"foo\"\n", "console \"foo\"");
    load_bad(&l, KERNEL "[console]\nmode = \"unix:\"\n", "console \"unix:\"");
}

Test(config, destroy_accepts_null)
{
    ax_config_destroy(NULL);
}

Test(config, a_report_is_optional)
{
    struct ax_config_source src = {.file = "x", .text = "[base", .size = 5};
    struct ax_config *conf;

    cr_assert_eq(ax_config_load(&src, &conf), -EINVAL);
    cr_assert_null(conf);
}
