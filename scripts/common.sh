# Shared by the scripts of this folder; sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Debian packages without which nothing is built, and those that only tests want.
build_packages=(
    ca-certificates gcc g++ libc6-dev cmake ninja-build pkg-config ccache python3
    libyaml-dev libcurl4-openssl-dev libssl-dev libcmocka-dev zlib1g-dev libisal-dev
)
test_packages=(clang clang-tidy clang-format libclang-rt-14-dev git curl)

# Installs what is missing of the packages named. One dpkg-query when nothing is.
need_packages() {
    local missing=() name
    for name in "$@"; do
        # A package of a foreign architecture or one that was removed does not count.
        case $(dpkg-query -W -f='${db:Status-Status} ' "$name" 2>/dev/null) in
        *installed*) ;;
        *) missing+=("$name") ;;
        esac
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    command -v apt-get >/dev/null ||
        die "missing: ${missing[*]}; this is not Debian: install their equivalents by hand"
    if [ "$(id -u)" -ne 0 ]; then
        die "missing Debian packages; install them with: sudo apt-get install ${missing[*]}"
    fi
    say "installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Jobs of a build: one a core, and no more than the memory carries (sanitizer links are large).
jobs() {
    local cores mem
    cores=$(nproc)
    mem=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
    [ "$mem" -lt 1 ] && mem=1
    [ "$cores" -lt "$mem" ] && echo "$cores" || echo "$mem"
}

# build_preset NAME: configures when needed and builds everything of that preset.
build_preset() {
    local preset=$1
    if [ ! -f "build/$preset/build.ninja" ]; then
        say "configuring build/$preset"
        cmake --preset "$preset" >"build/configure-$preset.log" 2>&1 ||
            { cat "build/configure-$preset.log" >&2; return 1; }
    fi
    cmake --build "build/$preset" -j "$(jobs)"
}
