# The command line, as one ctest entry with a line of TAP per case. How long it may
# take, and those below, is for the lab, where they also run.
add_test(NAME cli COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh
    ${AXVM_TAP_DIR}/cli.tap $<TARGET_FILE:axvm-run>
    ${CMAKE_BINARY_DIR}/tests/guest/${AXVM_HOST_ARCH})
set_tests_properties(cli PROPERTIES LABELS cli TIMEOUT 600)

# The client, against a stand-in for axvm-run.
add_test(NAME client COMMAND ${CMAKE_CURRENT_LIST_DIR}/client.sh
    ${AXVM_TAP_DIR}/client.tap $<TARGET_FILE:axvm-client>)
set_tests_properties(client PROPERTIES LABELS cli TIMEOUT 300)

# Both together.
add_test(NAME control COMMAND ${CMAKE_CURRENT_LIST_DIR}/control.sh
    ${AXVM_TAP_DIR}/control.tap $<TARGET_FILE:axvm-run>
    $<TARGET_FILE:axvm-client> ${CMAKE_BINARY_DIR}/tests/guest/${AXVM_HOST_ARCH})
set_tests_properties(control PROPERTIES LABELS cli TIMEOUT 900)
