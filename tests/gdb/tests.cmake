# Debian's gdb and our guests on this machine's KVM, as one ctest entry with a
# line of TAP per case.
add_executable(gdb_probe ${CMAKE_CURRENT_LIST_DIR}/probe.c)
add_executable(gdb_fake ${CMAKE_CURRENT_LIST_DIR}/fake.c)
target_link_libraries(gdb_fake PRIVATE axvm_fake axvm)
add_test(NAME gdb COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh
    ${AXVM_TAP_DIR}/gdb.tap $<TARGET_FILE:axvm-run>
    $<TARGET_FILE:axvm-client> ${CMAKE_BINARY_DIR}/tests/guest/${AXVM_HOST_ARCH}
    $<TARGET_FILE:gdb_probe> $<TARGET_FILE:gdb_fake>)
set_tests_properties(gdb PROPERTIES LABELS gdb TIMEOUT 1200)
