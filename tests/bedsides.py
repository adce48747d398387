"""The page at the bedside, served in a thread."""

import threading
from contextlib import contextmanager

from nlmebayes.bedside import service

CASE = """
models = ["vancomycin_goti_2018"]
label = "bed 7"
targets = ["auc24 400-600"]
now = "24 h"

[patient]
age = "60"
sex = "male"
weight = "70 kg"
height = "175 cm"
creatinine = "1.0 mg/dL"
dial = "no"

[[doses]]
time = "0"
amount = "1000 mg"
duration = "1 h"
every = "12 h"
doses = "2"

[[samples]]
time = "11.5"
value = "8.0 mg/L"

[[samples]]
time = "23.5"
value = "11.2 mg/L"
"""  # of nobody


@contextmanager
def served(host="127.0.0.1", password=None):
    """A `Service` that answers."""
    with service.listening(host, 0, password, warm=False) as found:
        thread = threading.Thread(target=found.serve, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            found.server.should_exit = True
            thread.join(30)
