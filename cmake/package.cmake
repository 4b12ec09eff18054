# The Debian package, from any build: scripts/package.sh, or `cpack -G DEB` in
# the build directory. package-stage.cmake makes Debian's layout of the install.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME axvm-run)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "axvm-run developers <axvm-run@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY
    "run a kernel, a unikernel or an AxVisor guest as a process")
set(CPACK_PACKAGE_DESCRIPTION
    "axvm-run is a user-space hypervisor for KVM. It reads AxVisor's guest TOML
files, boots unmodified Linux kernels, unikernels and bare-metal images, and
explains what it cannot run. Made for development and tests of guests: exit
statuses, statistics, traces and crash reports. A systemd template,
axvm@.service, runs guests that start with the host.")

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION otherosfs)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Opened when they are needed: to disassemble in a crash report, and for network
# cards in user mode, which is how they are unless told otherwise.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libcapstone4, libslirp0")
# qemu-nbd, for qcow2 images.
set(CPACK_DEBIAN_PACKAGE_SUGGESTS qemu-utils)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/packaging/postinst
    ${CMAKE_SOURCE_DIR}/packaging/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

# /usr, whatever the build was configured for: no path of the program depends
# on the prefix.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_SOURCE_DIR}/cmake/package-stage.cmake)
set(CPACK_AXVM_PACKAGING ${CMAKE_SOURCE_DIR}/packaging)
set(CPACK_VERBATIM_VARIABLES ON)
include(CPack)
