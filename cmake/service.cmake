# The systemd unit. It names paths, so it is made when it is installed: with the
# prefix of `cmake --install --prefix` or of cpack, not the one configured.
install(CODE "
    set(AXVM_BINDIR \"${CMAKE_INSTALL_BINDIR}\")
    cmake_path(ABSOLUTE_PATH AXVM_BINDIR
        BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\" NORMALIZE)
    set(AXVM_SYSCONFDIR \"${CMAKE_INSTALL_FULL_SYSCONFDIR}\")
    configure_file(\"${CMAKE_SOURCE_DIR}/systemd/axvm@.service.in\"
        \"${CMAKE_BINARY_DIR}/axvm@.service\" @ONLY)")
install(FILES "${CMAKE_BINARY_DIR}/axvm@.service"
    DESTINATION lib/systemd/system)
