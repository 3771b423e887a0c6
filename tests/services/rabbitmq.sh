#!/usr/bin/env bash
# A private RabbitMQ node. Nothing of it lives outside DIR but its sockets, and it shares no Erlang port mapper.
#
#   rabbitmq.sh DIR PORT              runs the node in the foreground until it is killed or told to stop by SIGTERM
#   rabbitmq.sh DIR PORT ctl ARG…     rabbitmqctl, of that node
#
# PORT speaks AMQP; the next four are the management API, metrics, Erlang's distribution and its port mapper. The
# process id of the node itself, for who wants to kill it, is in DIR/pid.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: rabbitmq.sh DIR PORT [ctl ARG…]" >&2
    exit 2
fi
mkdir -p "$1"
dir="$(realpath "$1")"
port="$2"
shift 2
programs=/usr/lib/rabbitmq/bin # those in PATH change to the user of the system's own broker

export HOME="$dir" # for Erlang's cookie
export ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT=$((port + 4))
export RABBITMQ_NODENAME="sonde-$port@localhost"
export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$port" RABBITMQ_DIST_PORT=$((port + 3))
export RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_PID_FILE="$dir/pid"
export RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins"
export RABBITMQ_CONF_ENV_FILE="$dir/none" # not the machine's own
# After a crash, expired messages wait for this before they are dead-lettered: three minutes if nobody says otherwise.
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-rabbit dead_letter_worker_publisher_confirm_timeout 5000"
RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS+=" -kernel inet_dist_use_interface {127,0,0,1}" # else it listens everywhere

if [ "${1:-}" = ctl ]; then
    shift
    exec "$programs/rabbitmqctl" "$@"
fi

cat >"$RABBITMQ_CONFIG_FILE" <<CONF
listeners.tcp.default = 127.0.0.1:$port
management.tcp.ip = 127.0.0.1
management.tcp.port = $((port + 1))
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = $((port + 2))
log.console = false
CONF
echo '[rabbitmq_management,rabbitmq_prometheus].' >"$RABBITMQ_ENABLED_PLUGINS_FILE"
rm -f "$RABBITMQ_PID_FILE" # it may be of a node that was killed

mapper='' node=''
stop() {
    [ -z "$node" ] || kill "$node" 2>/dev/null || true
    [ -z "$node" ] || wait "$node" || true
    [ -z "$mapper" ] || kill "$mapper" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 0' TERM INT

# Started here, because one that the node starts would outlive it.
epmd -relaxed_command_check &
mapper=$!
"$programs/rabbitmq-server" &
node=$!
wait "$node"
