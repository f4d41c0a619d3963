"""What pages share. The only part of the package that knows Streamlit."""

import os

# torch's threads spin while they wait for each other, and beside other work a pass with two takes up to fifty times as
# long; so they sleep. OpenMP reads this once, when torch is imported, which is later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
