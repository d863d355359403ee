# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # sourced by script/bench, whose variables it shares
# (h) What turnout-proxy costs, beside nginx, HAProxy and Caddy before the same server.

proxy() {
  say "(h) turnout-proxy beside nginx, HAProxy and Caddy"
  mkdir -p "$work/proxy"
  chmod 755 "$work" "$work/proxy"
  local proxy_rounds=${BENCH_PROXY_ROUNDS:-5} proxy_seconds=${BENCH_PROXY_SECONDS:-4}
  python3 -B "$root/script/bench.d/proxy.py" "$work/proxy" "$proxy_program" "$proxy_rounds" "$proxy_seconds" >"$work/proxy.figures" ||
    die "script/bench.d/proxy.py failed"
  local kind words
  for kind in 128 64k 128-tls 64k-tls; do
    case $kind in
      128) words="128 bytes" ;;
      64k) words="64 KiB" ;;
      128-tls) words="128 bytes over TLS" ;;
      *) words="64 KiB over TLS" ;;
    esac
    figure "proxy, processor time a request, $words, one thread" "$(of "cpu.turnout-1.$kind" 1) µs" "$(of "cpu.nginx.$kind" 1) µs (nginx, one worker)" \
      "$(divide "$(of "cpu.turnout-1.$kind")" "$(of "cpu.nginx.$kind")")" '<=' 1.0
  done
  if [ -n "$(of cpu.caddy.128)" ]; then
    figure "the same beside Caddy, 128 bytes: Caddy's time of ours" "$(of cpu.turnout-1.128 1) µs" "$(of cpu.caddy.128 1) µs (Caddy)" \
      "$(divide "$(of cpu.caddy.128)" "$(of cpu.turnout-1.128)")" '>=' 3
  else
    row "the same beside Caddy" "$(of cpu.turnout-1.128 1) µs" "not measured: Caddy is not installed" - "at least 3" -
  fi
  for kind in p50 p99; do
    figure "proxy, latency at half of nginx's load, $kind" "$(of "$kind.turnout" 0) µs" "$(of "$kind.nginx" 0) µs (nginx)" \
      "$(divide "$(of "$kind.turnout")" "$(of "$kind.nginx")")" '<=' 1.3
  done
  figure "proxy, idle" "$(of memory.idle 1) MiB" - "$(of memory.idle 1)" '<=' 7.6
  figure "proxy, 1,000 connections kept open" "$(of memory.1000 1) MiB" - "$(of memory.1000 1)" '<=' 28.6
  row "proxy, $(of tunnels) open WebSockets" "$(of memory.tunnels 1) MiB" - - stated -
  {
    printf '## turnout-proxy\n\nProcessor time a request in µs, and requests a second, of one program at a time:\n\n'
    printf '| | 128 bytes | 64 KiB | 128 bytes, TLS | 64 KiB, TLS |\n|---|---|---|---|---|\n'
    local who name
    while IFS='|' read -r who name; do
      [ -n "$(of "cpu.$who.128")" ] || continue
      printf '| %s | ' "$name"
      for kind in 128 64k 128-tls 64k-tls; do printf '%s µs, %s | ' "$(of "cpu.$who.$kind" 1)" "$(of "rate.$who.$kind" 0)"; done
      echo
    done <<'END'
turnout-1|turnout-proxy, one thread
turnout|turnout-proxy, a thread for each processor
nginx|nginx, one worker
haproxy|HAProxy, one thread
caddy|Caddy
END
    if [ -n "$(of calls.nginx.read)" ]; then
      printf '\nSystem calls a request (128 bytes): nginx %s, turnout-proxy %s.\n' "$(calls_of nginx)" "$(calls_of turnout-1)"
    fi
    printf '\nAdded latency at %s requests a second, 32 connections (median, 99th percentile): the server alone %s and %s µs, nginx %s and %s, turnout-proxy with one thread %s and %s, with one for each processor %s and %s.\n' \
      "$(of half 0)" "$(of p50.alone 0)" "$(of p99.alone 0)" "$(of p50.nginx 0)" "$(of p99.nginx 0)" "$(of p50.turnout-1 0)" \
      "$(of p99.turnout-1 0)" "$(of p50.turnout 0)" "$(of p99.turnout 0)"
  } >>"$work/tables"
  method "turnout-proxy" <<END
Each program stands before the same nginx with one worker, keeps its connections, sends X-Forwarded headers and logs no request.
\`wrk\` with one thread and 64 connections, $proxy_seconds seconds a kind, $proxy_rounds rounds in alternation after a second to warm up;
processor time is user and system time of the process and its children by \`/proc\`; medians. Latency by \`h2load --h1 --rps\`,
32 connections, at half of what nginx answered. System calls by \`strace -c\`. On a machine with two processors the client, the server
and the program share them, so requests a second are the whole's, and the time a request is the program's.
The certificate is P-256. Memory is resident memory of a fresh process with one route.
END
}

# of KEY [DIGITS]: a figure of proxy.py.
of() { awk -v key="$1" -v digits="${2:-3}" '$1 == key { if ($2 ~ /\./) printf "%." digits "f", $2; else printf "%s", $2 }' "$work/proxy.figures"; }
calls_of() { echo "$(of "calls.$1.read" 1) reads, $(of "calls.$1.write" 1) writes, $(of "calls.$1.wait" 1) waits, $(of "calls.$1.other" 1) others"; }
