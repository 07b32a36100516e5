#!/usr/bin/env bash
# Is the server ready, and what is it doing? health_and_metrics.sh [HTTP HOST:PORT] [METRICS HOST:PORT]
# Readiness says that the models are loaded, not that they speak: for that use python -m serve.health.
set -euo pipefail
http=${1:-localhost:8000}
metrics=${2:-localhost:8002}

curl --silent --show-error --output /dev/null --write-out 'ready: HTTP %{http_code}\n' "$http/v2/health/ready"
curl --silent --show-error --fail "$metrics/metrics" | grep '^higgs_'
