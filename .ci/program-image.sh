#!/usr/bin/env bash
# Builds the Dockerfile where no image can be pulled: on a base of this machine's busybox and glibc, the Node of the
# package and the npm of this machine. The build asks the registry that npm here is set up with.
# usage: program-image.sh TAG     makes TAG, TAG-base and TAG-build     needs: a Docker engine, npm ci done, busybox (static)
set -euo pipefail

tag=$1
repository=$(cd "$(dirname "$0")/.." && pwd)
root=$(mktemp -d)
context=$(mktemp -d)
trap 'rm -rf "$root" "$context"' EXIT

mkdir -p "$root"/{bin,etc/ssl/certs,tmp,usr/bin,usr/local/{bin,lib/node_modules}}
chmod 755 "$root"
chmod 1777 "$root/tmp"
printf 'root:x:0:0::/:/bin/sh\nnode:x:1000:1000::/tmp:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnode:x:1000:\n' >"$root/etc/group"
cp -L "$(command -v busybox)" "$root/bin/busybox"
for applet in $("$root/bin/busybox" --list | grep -vx busybox); do ln -s busybox "$root/bin/$applet"; done
ln -s /bin/busybox "$root/usr/bin/env"

cp -L "$(cd "$repository" && npx node -p process.execPath)" "$root/usr/local/bin/node"
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
cp -aL "$npm" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || true

# the loader, the libraries of Node, and those that glibc opens by itself to find a host
loaded=$(ldd "$root/usr/local/bin/node" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && NF == 2 { print $1 }')
folder=$(dirname "$(echo "$loaded" | grep '/libc\.so')")
for library in $loaded "$folder"/libnss_{files,dns}.so.2 "$folder"/libresolv.so.2; do
  [ -e "$library" ] || continue
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
tar -C "$root" --owner=0 --group=0 -c . | docker import --change 'ENV PATH=/usr/local/bin:/bin' - "$tag-base" >/dev/null

# what .dockerignore lets through anyway
(cd "$repository" && tar -c --exclude=node_modules --exclude=apps/bench package.json package-lock.json .npmrc .dockerignore Dockerfile \
  tsconfig.json apps libs migrations test/client) | tar -C "$context" -x
{
  echo
  echo "registry=$(npm config get registry)"
  [ ! -e "$root/etc/ssl/certs/ca-certificates.crt" ] || echo 'cafile=/etc/ssl/certs/ca-certificates.crt'
} >>"$context/.npmrc"
# the first stage under a name, to be removed by it
docker build --network host --build-arg "BASE=$tag-base" --target build --tag "$tag-build" "$context"
docker build --network host --build-arg "BASE=$tag-base" --tag "$tag" "$context"
size() { docker image inspect --format '{{.Size}}' "$1"; }
echo "built $tag: $((($(size "$tag") - $(size "$tag-base")) / 1000000)) MB on a base of $(($(size "$tag-base") / 1000000)) MB"
