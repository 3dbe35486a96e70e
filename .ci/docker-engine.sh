# Sourced by run. Finds a Docker engine, or starts one in a temporary folder; nothing of it outlives the run.

engine_pid=
engine_folder=

# Sets DOCKER_HOST for an engine of its own. Returns 1 after one line that says why there is none.
start_engine() {
  local folder=$1
  if command -v docker >/dev/null && timeout 20 docker info >/dev/null 2>&1; then return 0; fi
  if [ "$(id -u)" != 0 ]; then
    echo "skipped: no Docker engine answers, and only root can start one"
    return 1
  fi
  if ! install_missing dockerd docker.io || ! install_missing docker docker.io; then
    echo "skipped: no Docker engine answers, and docker.io could not be installed"
    return 1
  fi
  mkdir -p "$folder"
  engine_folder=$folder
  export DOCKER_HOST=unix://$folder/docker.sock
  dockerd --host "$DOCKER_HOST" --data-root "$folder/data" --exec-root "$folder/exec" \
    --pidfile "$folder/docker.pid" </dev/null >"$folder/log" 2>&1 &
  engine_pid=$!
  local _
  for _ in $(seq 30); do
    sleep 1
    if timeout 5 docker info >/dev/null 2>&1; then return 0; fi
    kill -0 "$engine_pid" 2>/dev/null || break
  done
  echo "skipped: no Docker engine answers, and dockerd does not start here: $(grep -v 'level=info' "$folder/log" | tail -n 1)"
  stop_engine
  return 1
}

stop_engine() {
  [ -n "$engine_pid" ] || return 0
  local _
  kill "$engine_pid" 2>/dev/null || true
  for _ in $(seq 20); do
    kill -0 "$engine_pid" 2>/dev/null || break
    sleep 0.5
  done
  kill -9 "$engine_pid" 2>/dev/null || true
  wait "$engine_pid" 2>/dev/null || true
  # of containers on the network of the host it leaves a mount
  awk -v folder="$engine_folder/" 'index($2, folder) == 1 { print $2 }' /proc/mounts | xargs -r umount --lazy 2>/dev/null || true
  engine_pid=
}

# Removes images, and the containers that a failed test has left of them.
remove_image() {
  local image
  for image in "$@"; do
    docker ps --all --quiet --filter ancestor="$image" | xargs -r docker rm --force >/dev/null 2>&1 || true
    docker rmi --force "$image" >/dev/null 2>&1 || true
  done
}

# Installs a Debian package when a command is missing and this is root on Debian. RUNLEVEL=1: its service is not started.
install_missing() {
  local command=$1 package=$2
  if command -v "$command" >/dev/null; then return 0; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
  {
    DEBIAN_FRONTEND=noninteractive timeout 120 apt-get update -qq &&
      RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq --no-install-recommends "$package"
  } </dev/null >/dev/null 2>&1 || true
  hash -r
  command -v "$command" >/dev/null
}
