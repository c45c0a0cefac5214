"""Golden values for tests/prophet.rs: what Python's prophet says of the same series.

    pip install prophet==1.5.0 pandas numpy
    python prophet.py > prophet.json

The series are made here, without data of anybody's: a noisy trend that bends with a weekly
pattern, a level shift with a monthly pattern, two years with a yearly one, and one with holidays.
Each record holds the values, the settings, and of the days ahead `yhat`, the components, and the
interval of 80 %; uncertainty is sampled, so it is compared loosely.
"""

import json
import logging

import numpy as np
import pandas as pd
from prophet import Prophet

logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
FIRST = "2021-03-01"
AHEAD = 60


def series(name, count, random):
    day = np.arange(count)
    week = np.array([1.0, 1.1, 1.05, 1.0, 0.9, 0.5, 0.4])[day % 7] - 0.85
    noise = random.standard_normal(count)
    if name == "bend":
        return 100 + 0.3 * day - 0.5 * np.maximum(0, day - 120) + 20 * week + 3 * noise
    if name == "shift":
        return 50 + 30 * (day > 150) + 6 * np.sin(2 * np.pi * day / 30.5) + 8 * week + 2 * noise
    if name == "year":
        return 200 + 0.05 * day + 40 * np.cos(2 * np.pi * day / 365.25) + 15 * week + 5 * noise
    return 80 + 0.1 * day + 10 * week + 2 * noise - 25 * np.isin(day, [40, 131, 222])


def record(name, count, random, monthly):
    values = np.round(series(name, count, random), 4)
    dates = pd.date_range(FIRST, periods=count)
    holidays = None
    if name == "holidays":
        days = [dates[at] for at in (40, 131, 222)] + [dates[-1] + pd.Timedelta(days=20)]
        holidays = pd.DataFrame({"holiday": "close", "ds": days})
    model = Prophet(interval_width=0.8, holidays=holidays, uncertainty_samples=2000)
    if monthly:
        model.add_seasonality("monthly", period=30.5, fourier_order=5)
    np.random.seed(1)
    # Newton's method comes nearer to the optimum than L-BFGS with its loose default tolerances.
    model.fit(pd.DataFrame({"ds": dates, "y": values}), algorithm="Newton", seed=1)
    said = model.predict(model.make_future_dataframe(AHEAD))
    parts = ["trend", "weekly", "monthly", "yearly", "holidays"]
    out = {"name": name, "first": (dates[0] - pd.Timestamp("1970-01-01")).days, "monthly": monthly}
    out["holidays"] = [] if holidays is None else [(d - pd.Timestamp("1970-01-01")).days for d in days]
    out["values"] = values.tolist()
    for column in ["yhat", "yhat_lower", "yhat_upper"] + [p for p in parts if p in said]:
        # Two settings bear the names of components.
        key = f"{column}_effect" if column in out else column
        out[key] = np.round(said[column].to_numpy(), 5).tolist()
    out["delta"] = np.round(model.params["delta"][0], 6).tolist()
    return out


def main():
    random = np.random.default_rng(20261123)
    cases = [("bend", 240, False), ("shift", 300, True), ("year", 760, False), ("holidays", 280, False)]
    records = [json.dumps(record(name, count, random, monthly)) for name, count, monthly in cases]
    print("[\n" + ",\n".join(records) + "\n]")


if __name__ == "__main__":
    main()
