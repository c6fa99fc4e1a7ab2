# Throwaway PostgreSQL and MariaDB servers on the loopback address. To be sourced:
#
#   . scripts/servers.sh
#   trap stop_servers EXIT
#   start_postgres   # exports TEST_POSTGRES_URL (a superuser, database postgres)
#   start_mariadb    # exports TEST_MYSQL_URL (all rights, database mysql)
#
#   kill_postgres, kill_mariadb         # with SIGKILL: no process gets to do anything more
#   shut_down_postgres, shut_down_mariadb   # in good order, while clients are at work
#   restart_postgres, restart_mariadb   # on the same files and the same port
#
# A server whose URL is already set is used as it is: none is started, none is stopped.
# Call the functions from the script itself, never from a subshell: a server ends with the process that started it.
# Everything that concerns durability stays at the servers' defaults: a test that kills a server must see what a user would see.

servers_home=''
servers_postgres_pid=''
servers_postgres_port=''
servers_mariadb_pid=''
servers_mariadb_port=''
servers_mariadb_password=''
servers_policy=() # the command that removes our policy-rc.d, while there is one

# Starts PostgreSQL and exports TEST_POSTGRES_URL.
start_postgres() {
    if [[ -n ${TEST_POSTGRES_URL:-} ]]; then return; fi
    if [[ -z $(postgres_bin) ]]; then servers_install postgres postgresql; fi
    local bin user data password attempt
    bin=$(postgres_bin)
    if [[ -z $bin ]]; then servers_missing postgresql; return 1; fi
    servers_make_home
    user=$(servers_user postgres)
    data=$servers_home/postgres
    password=$(servers_password)
    servers_make_dir "$user" "$data"
    # The password file and not a pipe: initdb opens it again by name.
    servers_run "$user" "$data" tee "$data/password" <<<"$password" >/dev/null
    servers_run "$user" "$data" "$bin/initdb" --pgdata="$data/data" --username=postgres --pwfile="$data/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >"$servers_home/initdb.log" 2>&1 ||
        { servers_failed 'PostgreSQL (initdb)' "$servers_home/initdb.log"; return 1; }
    for attempt in 1 2 3 4 5; do
        servers_postgres_port=$(servers_free_port)
        if servers_run_postgres; then
            export TEST_POSTGRES_URL="postgres://postgres:$password@127.0.0.1:$servers_postgres_port/postgres"
            return
        fi
    done
    servers_failed PostgreSQL "$servers_home/postgres.log"
    return 1
}

# Kills PostgreSQL and all its processes at once, so that none can end in good order. With `alone` only the first of them is
# killed: the others find out and end by themselves, each when it has done what it is doing.
kill_postgres() {
    local pid=$servers_postgres_pid children=()
    if [[ ${1:-} != alone ]]; then
        # Stopped before, it can neither make another process nor see one end.
        kill -s STOP "$pid"
        read -r -a children <"/proc/$pid/task/$pid/children" || true
    fi
    kill -s KILL "$pid" "${children[@]}"
    wait "$pid" 2>/dev/null || true
}

# Ends PostgreSQL as an administrator does: whoever is connected is told so and cut off.
shut_down_postgres() {
    kill -s INT "$servers_postgres_pid"
    wait "$servers_postgres_pid" 2>/dev/null || true
}

# Starts PostgreSQL again after kill_postgres or shut_down_postgres.
restart_postgres() {
    local attempt
    # It does not start while a process of the one before has still to find out.
    for attempt in {1..100}; do
        if servers_run_postgres; then return; fi
        sleep 0.1
    done
    servers_failed PostgreSQL "$servers_home/postgres.log"
    return 1
}

# Runs PostgreSQL on its files and its port, and waits until it answers.
servers_run_postgres() {
    local user bin data=$servers_home/postgres port=$servers_postgres_port
    user=$(servers_user postgres)
    bin=$(postgres_bin)
    servers_spawn "$user" "$data" "$servers_home/postgres.log" "$bin/postgres" -D "$data/data" \
        -c listen_addresses=127.0.0.1 -c port="$port" -c unix_socket_directories= -c max_connections=400
    servers_postgres_pid=$!
    if servers_ready "$servers_postgres_pid" "$bin/pg_isready" --quiet --host=127.0.0.1 --port="$port"; then return; fi
    servers_stop_one INT "$servers_postgres_pid"
    servers_postgres_pid=''
    return 1
}

# Starts MariaDB and exports TEST_MYSQL_URL.
start_mariadb() {
    if [[ -n ${TEST_MYSQL_URL:-} ]]; then return; fi
    if [[ -z $(mariadb_bin) ]]; then servers_install mariadb mariadb-server; fi
    local bin user data password attempt
    bin=$(mariadb_bin)
    if [[ -z $bin ]]; then servers_missing mariadb-server; return 1; fi
    servers_make_home
    user=$(servers_user mysql)
    data=$servers_home/mariadb
    password=$(servers_password)
    servers_mariadb_password=$password
    servers_init_mariadb "$user" "$data" "$password" || return 1
    for attempt in 1 2 3 4 5; do
        servers_mariadb_port=$(servers_free_port)
        if servers_run_mariadb; then
            export TEST_MYSQL_URL="mysql://tester:$password@127.0.0.1:$servers_mariadb_port/mysql"
            return
        fi
    done
    servers_failed MariaDB "$servers_home/mariadb.log"
    return 1
}

# Kills MariaDB, which is one process.
kill_mariadb() {
    kill -s KILL "$servers_mariadb_pid"
    wait "$servers_mariadb_pid" 2>/dev/null || true
}

# Ends MariaDB as an administrator does.
shut_down_mariadb() {
    kill -s TERM "$servers_mariadb_pid"
    wait "$servers_mariadb_pid" 2>/dev/null || true
}

# Starts MariaDB again after kill_mariadb or shut_down_mariadb.
restart_mariadb() {
    if servers_run_mariadb; then return; fi
    servers_failed MariaDB "$servers_home/mariadb.log"
    return 1
}

# Runs MariaDB on its files and its port, and waits until it answers.
servers_run_mariadb() {
    local user bin data=$servers_home/mariadb port=$servers_mariadb_port
    user=$(servers_user mysql)
    bin=$(mariadb_bin)
    # The socket is named relative to the data directory: its full path could be longer than a socket's may be.
    servers_spawn "$user" "$data" "$servers_home/mariadb.log" "$bin" --no-defaults --datadir="$data/data" \
        --bind-address=127.0.0.1 --port="$port" --socket=mariadb.sock --pid-file="$data/mariadb.pid" \
        --init-file="$data/init.sql" --skip-name-resolve --max-connections=500 \
        --table-definition-cache=8000 --table-open-cache=8000
    servers_mariadb_pid=$!
    if MYSQL_PWD=$servers_mariadb_password servers_ready "$servers_mariadb_pid" mariadb --no-defaults --protocol=tcp \
        --host=127.0.0.1 --port="$port" --user=tester --connect-timeout=5 --execute='SELECT 1'; then return; fi
    servers_stop_one TERM "$servers_mariadb_pid"
    servers_mariadb_pid=''
    return 1
}

# servers_init_mariadb USER FOLDER PASSWORD: makes the data of a server in FOLDER/data, and FOLDER/init.sql for its first start.
servers_init_mariadb() {
    local user=$1 folder=$2 password=$3
    servers_make_dir "$user" "$folder" || return 1
    servers_run "$user" "$folder" mariadb-install-db --no-defaults --datadir="$folder/data" --skip-test-db \
        --auth-root-authentication-method=normal >"$servers_home/mariadb-install-db.log" 2>&1 ||
        { servers_failed 'MariaDB (mariadb-install-db)' "$servers_home/mariadb-install-db.log"; return 1; }
    # Runs before the first connection is accepted, so root without a password is never reachable.
    servers_run "$user" "$folder" tee "$folder/init.sql" >/dev/null <<SQL
DELETE FROM mysql.global_priv WHERE User IN ('', 'root');
FLUSH PRIVILEGES;
CREATE OR REPLACE USER 'tester'@'127.0.0.1' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON *.* TO 'tester'@'127.0.0.1' WITH GRANT OPTION;
SQL
}

# Stops what was started here and removes its files. May be called twice.
stop_servers() {
    servers_allow_services
    if [[ -n $servers_postgres_pid ]]; then
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
        servers_stop_one INT "$servers_postgres_pid"
        servers_postgres_pid=''
        unset TEST_POSTGRES_URL
    fi
    if [[ -n $servers_mariadb_pid ]]; then
        servers_stop_one TERM "$servers_mariadb_pid"
        servers_mariadb_pid=''
        unset TEST_MYSQL_URL
    fi
    if [[ -n $servers_home ]]; then
        rm -rf -- "$servers_home"
        servers_home=''
    fi
}

# The folder of PostgreSQL's programs, the newest version first; nothing if there is none.
# Debian keeps them out of PATH.
postgres_bin() {
    local bin
    bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort --version-sort --reverse | head -n 1) || true
    if [[ -z $bin ]]; then bin=$(dirname -- "$(type -P initdb || true)"); fi
    if [[ -x $bin/initdb && -x $bin/postgres && -x $bin/pg_isready ]]; then echo "$bin"; fi
}

# MariaDB's server; nothing if it or one of the two programs it needs is missing.
mariadb_bin() {
    # A user's PATH on Debian has no sbin.
    PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
    if type -P mariadb-install-db >/dev/null && type -P mariadb >/dev/null; then type -P mariadbd || true; fi
}

# The tests of clocks start a process whose clock is off.
install_faketime() {
    if ! type -P faketime >/dev/null; then servers_install faketime faketime; fi
}

install_redis() {
    if ! type -P redis-server >/dev/null; then servers_install redis-server redis-server; fi
}

# servers_install COMMAND PACKAGE
servers_install() {
    local root=()
    echo "$2 is not installed: installing it with apt-get" >&2
    if ! type -P apt-get >/dev/null; then servers_missing "$2"; return 1; fi
    if [[ $(id -u) != 0 ]]; then
        if ! type -P sudo >/dev/null; then servers_missing "$2"; return 1; fi
        root=(sudo)
    fi
    servers_forbid_services "${root[@]}"
    if ! "${root[@]}" apt-get update >&2 ||
        ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install --yes --no-install-recommends "$2" </dev/null >&2; then
        servers_allow_services
        servers_missing "$2"
        return 1
    fi
    servers_allow_services
}

# A package would start a server of its own, on the well-known port and for good. Debian's policy-rc.d says no to that.
servers_forbid_services() {
    if [[ -e /usr/sbin/policy-rc.d ]]; then return; fi
    servers_policy=("$@" rm -f /usr/sbin/policy-rc.d)
    printf '#!/bin/sh\nexit 101\n' | "$@" tee /usr/sbin/policy-rc.d >/dev/null
    "$@" chmod 755 /usr/sbin/policy-rc.d
}

servers_allow_services() {
    if ((${#servers_policy[@]})); then
        "${servers_policy[@]}"
        servers_policy=()
    fi
}

servers_missing() {
    echo "please install the package $1 (as root: apt-get install $1)" >&2
    if [[ $1 != postgresql && $1 != mariadb-server ]]; then return; fi
    echo 'or name a running server: TEST_POSTGRES_URL=postgres://… TEST_MYSQL_URL=mysql://…' >&2
}

servers_failed() {
    echo "$1 did not start. The end of its log:" >&2
    tail -n 30 -- "$2" >&2
}

servers_make_home() {
    if [[ -n $servers_home ]]; then return; fi
    servers_home=$(mktemp --directory --tmpdir auction-ledger.XXXXXXXX)
    # Each server's folder is its own user's; they must be able to reach it.
    chmod 711 "$servers_home"
}

# The user to run a server as: neither of the two runs as root.
servers_user() {
    if [[ $(id -u) != 0 ]]; then id -un
    elif getent passwd "$1" >/dev/null; then echo "$1"
    else echo nobody; fi
}

servers_make_dir() {
    mkdir -m 700 "$2"
    if [[ $(id -u) != 0 ]]; then return; fi
    chown "$1:" "$2"
    if ! servers_run "$1" / test -x "$2"; then
        echo "the user $1 cannot reach $2: set TMPDIR to a folder that every user may enter" >&2
        return 1
    fi
}

# servers_run USER FOLDER COMMAND…: as the user, in the folder, without the caller's environment (PGPORT, MYSQL_HOME …).
servers_run() {
    local as=() user=$1 folder=$2
    shift 2
    if [[ $(id -u) == 0 ]]; then as=(setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups); fi
    (cd "$folder" && exec "${as[@]}" env -i PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8 TZ=UTC "$@")
}

# servers_spawn USER FOLDER LOG COMMAND…: in the background; `$!` is the server itself, for every step is an exec.
# A session of its own keeps the terminal's Ctrl-C away from it: the trap stops it, after the tests.
# And should this script be killed outright, the kernel tells the server to end (pdeathsig).
servers_spawn() {
    local as=() user=$1 folder=$2 log=$3 signal=TERM
    shift 3
    if [[ $1 == */postgres ]]; then signal=INT; fi
    if [[ $(id -u) == 0 ]]; then as=(--reuid="$user" --regid="$(id -g "$user")" --init-groups); fi
    (
        cd "$folder"
        exec setsid setpriv "${as[@]}" --pdeathsig "$signal" env -i PATH="$PATH" LC_ALL=C.UTF-8 TZ=UTC "$@"
    ) </dev/null >>"$log" 2>&1 &
}

# servers_ready PID COMMAND…: waits until the command succeeds, a minute at most; fails at once if the process ends.
servers_ready() {
    local pid=$1 deadline=$((SECONDS + 60))
    shift
    while ((SECONDS < deadline)); do
        if ! kill -0 "$pid" 2>/dev/null; then return 1; fi
        # Alive after it answered: otherwise somebody else's server took the port and answered.
        if "$@" >/dev/null 2>&1 && sleep 0.1 && kill -0 "$pid" 2>/dev/null; then return 0; fi
        sleep 0.1
    done
    return 1
}

# servers_stop_one SIGNAL PID: and waits for it; after half a minute it is killed.
servers_stop_one() {
    local deadline=$((SECONDS + 30))
    kill -s "$1" "$2" 2>/dev/null || true
    while kill -0 "$2" 2>/dev/null; do
        if ((SECONDS >= deadline)); then kill -s KILL "$2" 2>/dev/null || true; fi
        sleep 0.1
    done
    wait "$2" 2>/dev/null || true
}

servers_password() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

# A port nobody listens on, below the range the kernel hands out to clients.
servers_free_port() {
    local port
    while true; do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
}
