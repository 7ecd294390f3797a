# Shared by the scripts of this folder; sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Debian packages without which nothing is built, and those that only scripts/test wants besides.
build_packages=(
    ca-certificates gcc g++ libc6-dev cmake ninja-build pkg-config ccache python3
    libyaml-dev libcurl4-openssl-dev libssl-dev libnghttp2-dev libcmocka-dev zlib1g-dev libisal-dev
)
# make: a plugin of another tree is built as its author would, with CMake's default generator.
test_packages=(clang clang-tidy clang-format libclang-rt-14-dev make git curl)

# Prints the Debian packages of the tools that fetch and serve (tests/tools/setup, the emulators)
# which this machine lacks. It looks for the programs: a node or python3 that came from elsewhere
# brings its own npm and ensurepip, and Debian's npm is hundreds of packages.
tool_packages() {
    command -v openssl >/dev/null || echo openssl
    command -v node >/dev/null && command -v npm >/dev/null || echo nodejs npm
    # The judges of tests/judges: Amazon's Java libraries.
    command -v javac >/dev/null && command -v keytool >/dev/null || echo openjdk-17-jdk-headless
    command -v mvn >/dev/null || echo maven
    python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
}

# Installs what is missing of the packages named. One dpkg-query when nothing is.
need_packages() {
    local missing=() name have native
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        say "this is not Debian; what follows needs the equivalents of: $*"
        return 0
    fi
    # What dpkg merely knows of ("not-installed") and packages of another architecture do not count.
    native=$(dpkg --print-architecture)
    have=$(dpkg-query -W -f='${Package}:${Architecture}:${db:Status-Status}\n' "$@" 2>/dev/null) ||
        true
    for name in "$@"; do
        case $'\n'$have$'\n' in
        *$'\n'"$name:$native:installed"$'\n'* | *$'\n'"$name:all:installed"$'\n'*) ;;
        *) missing+=("$name") ;;
        esac
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        die "missing Debian packages; install them with: sudo apt-get update &&" \
            "sudo apt-get install --no-install-recommends ${missing[*]}"
    fi
    say "installing Debian packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # A machine that has just started may still be upgrading itself: wait for its lock.
    apt-get update -qq -o DPkg::Lock::Timeout=300
    apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "${missing[@]}" \
        >/dev/null
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
