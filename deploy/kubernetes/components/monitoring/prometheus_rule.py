"""The PrometheusRule of a cluster: prometheus-rule.yaml is what this makes of deploy/prometheus/rules.

    python deploy/kubernetes/components/monitoring/prometheus_rule.py [FILE]    writes FILE (default: prometheus-rule.yaml beside this)
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RULES = HERE.parents[2] / "prometheus/rules"
HEAD = """# Made by prometheus_rule.py of deploy/prometheus/rules. Change those.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: sinkstream
  labels:
    app.kubernetes.io/name: sinkstream
spec:
  groups:
"""


def groups_of(file: Path) -> str:
    """The text of its groups, indented as those of an object are."""
    _, text = file.read_text().split("\ngroups:\n")
    return "".join(f"  {line}" if line.strip() else line for line in text.splitlines(keepends=True))


def main() -> None:
    made = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "prometheus-rule.yaml"
    made.write_text(HEAD + "".join(groups_of(file) for file in sorted(RULES.glob("*.yaml"))))


if __name__ == "__main__":
    main()
