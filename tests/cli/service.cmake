# axvm-run as a service: included by tests/CMakeLists.txt, as tests.cmake.
add_test(NAME service COMMAND ${CMAKE_CURRENT_LIST_DIR}/service.sh
    ${AXVM_TAP_DIR}/service.tap $<TARGET_FILE:axvm-run>
    ${CMAKE_BINARY_DIR}/tests/guest/${AXVM_HOST_ARCH})
set_tests_properties(service PROPERTIES LABELS cli TIMEOUT 300)
