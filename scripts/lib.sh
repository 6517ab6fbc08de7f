# What scripts share; sourced, not run.
# shellcheck shell=bash

# Mesa's layer that chooses among drivers prints errors about Wayland if there is no desktop; wgpu chooses itself.
export NODEVICE_SELECT=1

note() {
    echo "$*" >&2
}

# A Vulkan loader and at least one driver for it. macOS has Metal and Windows has DX12 instead.
has_vulkan() {
    [[ $(uname -s) == Linux ]] || return 0
    [[ $(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null) == *libvulkan.so.1* ]] ||
        compgen -G '/usr/lib*/libvulkan.so.1' >/dev/null || return 1
    local driver
    local -a drivers
    IFS=: read -ra drivers <<<"${VK_DRIVER_FILES-}:${VK_ICD_FILENAMES-}"
    for driver in "${drivers[@]}" /{usr/share,usr/local/share,etc}/vulkan/icd.d/*.json; do
        [[ ! -f $driver ]] || return 0
    done
    return 1
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# Installs what the machine lacks to build and to run; if that fails, says what is missing and goes on.
prepare() {
    local -a packages=()
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    has_vulkan || packages+=(mesa-vulkan-drivers libvulkan1)
    ((${#packages[@]})) || return 0
    if command -v apt-get >/dev/null; then
        note "installing ${packages[*]}"
        as_root apt-get -qq update >&2 &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install "${packages[@]}" >&2 && return 0
    fi
    note "please install a C linker and a Vulkan driver with its loader; on Debian and Ubuntu: ${packages[*]}"
}
