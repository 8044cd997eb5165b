#!/bin/sh
# Compiles PgBouncer 1.24.1 in the folder $1 from the source package of Debian 13, and installs the program in /usr/local/bin.
# The source comes from the mirror that apt uses.
set -eu
version=1.24.1
sha256=da72a3aba13072876d055a3e58dd4aba4a5de4ed6148e73033185245598fd3e0
folder=$1
# The folder of the compilation is removed at the end, also after an error or a signal.
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
cd "$folder"
for mirror in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort -u); do
    source="${mirror}pool/main/p/pgbouncer/pgbouncer_$version.orig.tar.gz"
    if /usr/lib/apt/apt-helper download-file "$source" source.tar.gz "SHA256:$sha256"; then
        break
    fi
done
if [ ! -f source.tar.gz ]; then
    echo "no mirror has the source of PgBouncer $version"
    exit 1
fi
tar --extract --gzip --file source.tar.gz
cd "pgbouncer-$version"
# The tests connect by address on this machine only.
./configure --quiet --without-cares --without-openssl --without-pam --without-systemd
make --quiet -j 2 pgbouncer
install -D --mode 755 pgbouncer /usr/local/bin/pgbouncer
