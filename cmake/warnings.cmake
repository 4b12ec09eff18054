# axvm_common: what every target of ours is compiled with.
add_library(axvm_common INTERFACE)
target_compile_definitions(axvm_common INTERFACE _GNU_SOURCE
    AX_VERSION="${PROJECT_VERSION}")
target_compile_options(axvm_common INTERFACE
    -Wall -Wextra -Werror -Wshadow -Wundef -Wvla -Wformat=2 -Wcast-qual
    -Wpointer-arith -Wwrite-strings -Wimplicit-fallthrough
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
    -Wno-unused-parameter
    -ffunction-sections -fdata-sections -fno-common)
target_link_options(axvm_common INTERFACE -Wl,--gc-sections)
if(AXVM_SANITIZE)
    target_compile_options(axvm_common INTERFACE
        -fsanitize=${AXVM_SANITIZE} -fno-omit-frame-pointer -g)
    if(NOT AXVM_SANITIZE STREQUAL "thread")
        target_compile_options(axvm_common INTERFACE -fno-sanitize-recover=all)
    elseif(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # It does not see fences; those of virtqueues order what is atomic.
        target_compile_options(axvm_common INTERFACE -Wno-tsan)
    endif()
    target_link_options(axvm_common INTERFACE -fsanitize=${AXVM_SANITIZE})
endif()
if(AXVM_FUZZ)
    # Instruments the library as well, so that the fuzzer sees its branches.
    target_compile_options(axvm_common INTERFACE -fsanitize=fuzzer-no-link)
endif()
