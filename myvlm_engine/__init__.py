"""The engine: recognition, personalisation and answers behind one local HTTP service. Uses the GPU where there is one."""

import os

# torch's threads on Linux (libgomp) wait for each other by spinning. Where another program keeps a core busy they spin against it: on two
# cores a description took three times as long (6.4 s; 3.1 s with this), and is no slower on an idle machine. Read when torch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "500")
