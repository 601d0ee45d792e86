"""Two processes of one run, which talk over gloo."""

from __future__ import annotations

import os
import sys

# accelerate launch --cpu starts a single process, however many are asked for.
TWO = ("-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2")
ENVIRONMENT = {
    "ACCELERATE_USE_CPU": "true",
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(sys.path),
}
