# What scripts share; sourced, not run.
# shellcheck shell=bash

# Mesa's layer that chooses among drivers prints errors about Wayland if there is no desktop; wgpu chooses itself.
export NODEVICE_SELECT=1

note() {
    echo "$*" >&2
}

has_library() { # NAME
    [[ $(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null) == *"$1"* ]]
}

# A Vulkan loader and at least one driver for it. macOS has Metal and Windows has DX12 instead.
has_vulkan() {
    [[ $(uname -s) == Linux ]] || return 0
    has_library libvulkan.so.1 || compgen -G '/usr/lib*/libvulkan.so.1' >/dev/null || return 1
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

# Installs what the machine lacks to build and to run, and of these programs and libraries; if that fails, says what is
# missing and goes on.
prepare() { # [PROGRAM[:PACKAGE] | LIBRARY:PACKAGE]...
    local needed
    local -a packages=()
    for needed in "$@"; do
        case ${needed%:*} in
            *.so.*) has_library "${needed%:*}" || packages+=("${needed#*:}") ;;
            *) command -v "${needed%:*}" >/dev/null || packages+=("${needed#*:}") ;;
        esac
    done
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

# apt over one suite of Debian as if nothing were installed, touching nothing outside FOLDER: the packages' signatures are
# checked as apt always does. KIND is `deb` or, for sources, `deb-src`.
private_apt() { # FOLDER KIND SUITE COMMAND [ARGUMENT]...
    local folder=$1 kind=$2 suite=$3 mirror arch key=/usr/share/keyrings/debian-archive-keyring.gpg
    shift 3
    [[ -f $key ]] || { note "please install debian-archive-keyring: there is no $key" && return 2; }
    arch=$(dpkg --print-architecture)
    local -a options=(-qq -oDir::Etc::SourceList="$folder/sources.list" -oDir::Etc::SourceParts=- -oDir::State="$folder"
        -oDir::State::Lists="$folder/lists" -oDir::State::Status=/dev/null -oDir::Cache="$folder/cache"
        -oAPT::Architecture="$arch" -oAPT::Architectures="$arch" -oAcquire::Check-Valid-Until=false
        -oAPT::Install-Recommends=false -oDebug::NoLocking=true -oAPT::Sandbox::User=root)
    if [[ ! -f $folder/sources.list ]]; then
        mkdir -p "$folder"/{lists,cache/archives}/partial
        # The mirror that this machine already uses, if it is one of Debian's.
        # shellcheck disable=SC2016 # apt expands it
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/\?$' | sort -u | head -n 1) ||
            mirror=https://deb.debian.org/debian
        echo "$kind [signed-by=$key arch=$arch] $mirror $suite main" >"$folder/sources.list"
        apt-get "${options[@]}" update || { rm "$folder/sources.list" && return 1; }
    fi
    apt-get "${options[@]}" "$@"
}

# Writes a driver's manifest that names its library by where it lies: in LIBRARIES, not where its own names it.
place_driver() { # MANIFEST LIBRARIES NEW_MANIFEST
    local new=$3.$BASHPID # others may write it at the same time
    sed -E "s#\"library_path\": *\"[^\"]*/?(lib[^/\"]+)\"#\"library_path\": \"$2/\1\"#" "$1" >"$new"
    mv "$new" "$3"
}

# Unpacks packages of a suite, with what installing them on an empty machine would need, into ROOT. Nothing is installed.
unpack_packages() { # ROOT SUITE PACKAGE...
    local root=$1 suite=$2 deb
    shift 2
    rm -rf "$root.new" "$root.apt"
    mkdir -p "$root.new" "$root.apt"
    private_apt "$root.apt" deb "$suite" install --download-only -y "$@"
    for deb in "$root.apt"/cache/archives/*.deb; do dpkg -x "$deb" "$root.new"; done
    # Suites up to bookworm have the C library elsewhere.
    [[ ! -d $root.new/lib ]] || cp -a "$root.new/lib/." "$root.new/usr/lib/"
    rm -rf "$root.apt" "$root"
    mv "$root.new" "$root"
}
