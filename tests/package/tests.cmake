# The Debian package of this build; included by tests/CMakeLists.txt. What a
# sanitizer needs at run time is in no package of ours.
if(NOT AXVM_SANITIZE)
    add_test(NAME package COMMAND ${CMAKE_CURRENT_LIST_DIR}/run.sh
        ${AXVM_TAP_DIR}/package.tap ${CMAKE_BINARY_DIR})
    set_tests_properties(package PROPERTIES LABELS package TIMEOUT 120
        SKIP_RETURN_CODE 77)
endif()
