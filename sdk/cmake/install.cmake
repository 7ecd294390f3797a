# What `cmake --install` puts where, so that find_package(weir) works.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(weir_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
install(DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/../include/weir
    DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT sdk FILES_MATCHING PATTERN "*.h")
set_target_properties(weir_headers PROPERTIES EXPORT_NAME headers)
set_target_properties(weir_sdk PROPERTIES EXPORT_NAME sdk)
install(TARGETS weir_headers weir_sdk EXPORT weirTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT sdk)
install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${weir_package_dir} COMPONENT sdk)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/weirConfig.cmake.in
    ${CMAKE_BINARY_DIR}/cmake/weirConfig.cmake
    INSTALL_DESTINATION ${weir_package_dir}
    PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
# Drafts of the ABI promise nothing to each other's sources: only the same version will do.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/cmake/weirConfigVersion.cmake
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES
    ${CMAKE_BINARY_DIR}/cmake/weirConfig.cmake
    ${CMAKE_BINARY_DIR}/cmake/weirConfigVersion.cmake
    ${CMAKE_CURRENT_LIST_DIR}/WeirPlugin.cmake
    ${CMAKE_CURRENT_LIST_DIR}/weir_plugin.map
    DESTINATION ${weir_package_dir} COMPONENT sdk)
install(PROGRAMS ${CMAKE_CURRENT_LIST_DIR}/weir_plugin.py
    DESTINATION ${weir_package_dir} COMPONENT sdk)
