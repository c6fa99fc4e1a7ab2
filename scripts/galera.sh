# A throwaway MariaDB Galera cluster of three nodes on the loopback address. To be sourced after servers.sh:
#
#   . scripts/servers.sh
#   . scripts/galera.sh
#   trap 'stop_galera; stop_servers' EXIT
#   start_galera   # exports TEST_GALERA_URLS (all rights, database mysql) and TEST_GALERA_CONTROL
#
# TEST_GALERA_CONTROL is a folder with the files 1.pid, 2.pid and 3.pid. Whoever kills a node by its pid makes the file
# 1.start (2.start, 3.start) to have it brought back: `serve_galera`, called again and again, does that.
# What concerns durability stays at the servers' defaults, as in servers.sh.

galera_provider=/usr/lib/galera/libgalera_smm.so
galera_pids=('' '' '' '')  # by number; there is no node 0
galera_sql=()              # the ports, by number
galera_group=()
galera_ist=()
galera_sst=()
galera_password=''

# Starts three nodes, one after the other: the second and the third get all data from the first.
start_galera() {
    local attempt package
    # rsync carries a whole data directory to a node that joins; lsof and ss tell the script that calls it about ports.
    for package in mariadb-server galera-4 rsync lsof iproute2; do
        galera_has "$package" || servers_install "$package" "$package" || return 1
        galera_has "$package" || { servers_missing "$package"; return 1; }
    done
    servers_make_home
    for attempt in 1 2 3; do
        if galera_start_all; then return; fi
        stop_galera
    done
    return 1
}

# Brings back the nodes that a test has killed and asks for.
serve_galera() {
    local node
    for node in 1 2 3; do
        if [[ ! -e $TEST_GALERA_CONTROL/$node.start ]]; then continue; fi
        rm -f -- "$TEST_GALERA_CONTROL/$node.start"
        # Killed by the test and reaped here, so that the number cannot belong to somebody else by now.
        servers_stop_one KILL "${galera_pids[node]}"
        galera_spawn "$node" "--wsrep-start-position=$(galera_recovered_position "$node")"
    done
}

# Stops the nodes and removes their files. May be called twice.
stop_galera() {
    local node
    for node in 3 2 1; do
        if [[ -n ${galera_pids[node]} ]]; then
            servers_stop_one TERM "${galera_pids[node]}"
            galera_pids[node]=''
        fi
    done
    if [[ -n $servers_home ]]; then rm -rf -- "$servers_home/galera"; fi
    unset TEST_GALERA_URLS TEST_GALERA_CONTROL
}

galera_has() {
    case $1 in
        mariadb-server) [[ -n $(mariadb_bin) ]] ;;
        galera-4) [[ -e $galera_provider ]] ;;
        iproute2) PATH=$PATH:/usr/sbin:/sbin type -P ss >/dev/null ;;
        *) type -P "$1" >/dev/null ;;
    esac
}

galera_start_all() {
    local node user urls=() home=$servers_home/galera
    user=$(servers_user mysql)
    galera_password=$(servers_password)
    mkdir -m 711 "$home"
    export TEST_GALERA_CONTROL=$home/control
    mkdir -m 700 "$TEST_GALERA_CONTROL"
    galera_choose_ports
    servers_init_mariadb "$user" "$home/1" "$galera_password" || return 1
    for node in 2 3; do
        servers_make_dir "$user" "$home/$node" || return 1
        servers_run "$user" "$home/$node" mkdir -m 700 "$home/$node/data"
    done
    for node in 1 2 3; do
        if [[ $node == 1 ]]; then galera_spawn 1 --wsrep-new-cluster --init-file="$home/1/init.sql"
        else galera_spawn "$node"; fi
        servers_ready "${galera_pids[node]}" galera_synced "$node" ||
            { servers_failed "Galera node $node" "$home/$node.log"; return 1; }
        urls+=("mysql://tester:$galera_password@127.0.0.1:${galera_sql[node]}/mysql")
    done
    TEST_GALERA_URLS=$(IFS=,; echo "${urls[*]}")
    export TEST_GALERA_URLS
}

# Twelve different ones: all are chosen before the first is taken.
galera_choose_ports() {
    local node port taken=' '
    for node in 1 2 3; do
        for kind in sql group ist sst; do
            while true; do
                port=$(servers_free_port)
                if [[ $taken != *" $port "* ]]; then break; fi
            done
            taken+="$port "
            printf -v "galera_$kind[$node]" %s "$port"
        done
    done
}

# galera_spawn NODE OPTION…
galera_spawn() {
    local node=$1 home=$servers_home/galera user
    shift
    user=$(servers_user mysql)
    local options
    mapfile -t options < <(galera_options "$node")
    servers_spawn "$user" "$home/$node" "$home/$node.log" "$(mariadb_bin)" "${options[@]}" "$@"
    galera_pids[node]=$!
    echo "${galera_pids[node]}" >"$TEST_GALERA_CONTROL/$node.pid"
}

galera_options() {
    local node=$1 other data=$servers_home/galera/$1/data group=''
    for other in 1 2 3; do group+=${group:+,}127.0.0.1:${galera_group[other]}; done
    printf '%s\n' --no-defaults --datadir="$data" --bind-address=127.0.0.1 --port="${galera_sql[node]}" \
        --socket=mariadb.sock --pid-file="$data/mariadb.pid" --skip-name-resolve --max-connections=500 \
        --binlog-format=ROW --innodb-autoinc-lock-mode=2 --wsrep-on=ON --wsrep-provider="$galera_provider" \
        --wsrep-cluster-name=auction-ledger --wsrep-cluster-address="gcomm://$group" --wsrep-node-name="node$node" \
        --wsrep-node-address="127.0.0.1:${galera_group[node]}" --wsrep-sst-method=rsync \
        --wsrep-sst-receive-address="127.0.0.1:${galera_sst[node]}"
    printf '%s;' "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:${galera_group[node]}" \
        "ist.recv_addr=127.0.0.1:${galera_ist[node]}"
    echo
}

galera_synced() {
    local state
    state=$(MYSQL_PWD=$galera_password mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --port="${galera_sql[$1]}" \
        --user=tester --connect-timeout=5 --skip-column-names \
        --execute="SHOW STATUS LIKE 'wsrep_local_state_comment'") && [[ $state == *Synced ]]
}

# How far a node that was killed had got: asked as Debian's galera_recovery asks. With it the others send only what it
# missed; without it they would send everything.
galera_recovered_position() {
    local node=$1 options position log=$servers_home/galera/$1.recover.log
    mapfile -t options < <(galera_options "$node")
    servers_run "$(servers_user mysql)" "$servers_home/galera/$node" "$(mariadb_bin)" "${options[@]}" --wsrep-recover \
        >"$log" 2>&1 || true
    position=$(sed -n 's/.*WSREP: Recovered position: *//p' "$log" | tail -n 1)
    echo "${position:-00000000-0000-0000-0000-000000000000:-1}"
}
