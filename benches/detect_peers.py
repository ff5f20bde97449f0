#!/usr/bin/env python3
"""Scores of other systems for the table of `make detect-bench`, from the packages river, rrcf, stumpy and adtk of PyPI.

    detect_peers.py DIR [--seconds N] [NAME ...]

reads DIR/series/SOURCE/NAME.csv, which `detect_bench --export DIR` writes, and writes one score a row to
DIR/scores/SYSTEM/SOURCE/NAME.txt, and the mean time for a value to DIR/scores/SYSTEM/ns.txt. Every system is strictly
online (the score of a row depends on it and the rows before), and has one set of parameters for all series. A system
whose package is missing, or that takes more than N seconds (default 1800), is reported and left out; the exit code is 1
if a package is missing.
"""
import csv
import glob
import math
import os
import shutil
import sys
import time


def river_scorer(make):
    """A scorer of river that takes single values."""
    def scores(values, _interval):
        model = make()
        for value in values:
            try:
                score = model.score_one(None, value)
            except TypeError:  # river 0.26.1: the variance of a window may become negative, and the score complex
                score = 0.0
            model.learn_one(None, value)
            yield score
    return scores


def river_gaussian(window):
    from river import anomaly
    return river_scorer(lambda: anomaly.GaussianScorer(window_size=window, grace_period=100))


def river_deviation():
    from river import anomaly, stats
    return river_scorer(lambda: anomaly.StandardAbsoluteDeviation(sub_stat=stats.Mean()))


def river_trees():
    """Half-space trees over the last four values, on the range that was seen so far."""
    from river import anomaly

    def scores(values, _interval):
        model = anomaly.HalfSpaceTrees(n_trees=10, height=6, window_size=250, seed=1)
        low = high = values[0]
        window = [0.5] * 4
        for value in values:
            low, high = min(low, value), max(high, value)
            window = window[1:] + [(value - low) / (high - low) if high > low else 0.5]
            features = dict(enumerate(window))
            yield model.score_one(features)
            model.learn_one(features)
    return scores


def river_forecast():
    """The distance from a forecast by a linear model of the last twelve differences."""
    from river import anomaly, linear_model, optim, preprocessing, time_series

    def scores(values, _interval):
        regressor = preprocessing.StandardScaler() | linear_model.LinearRegression(optimizer=optim.SGD(0.005))
        forecaster = time_series.SNARIMAX(p=12, d=1, q=4, regressor=regressor)
        model = anomaly.PredictiveAnomalyDetection(forecaster, horizon=1, n_std=3.5, warmup_period=50)
        scale = sum(map(abs, values[:50])) / len(values[:50]) + 1e-9
        for value in values:
            try:
                score = model.score_one(None, value / scale)
            except Exception:  # not enough values, or a forecast beyond the range of doubles
                score = 0.0
            model.learn_one(None, value / scale)
            yield score
    return scores


def forest():
    """A robust random cut forest over the last four values: 10 trees of 128 points."""
    import numpy
    import rrcf

    def scores(values, _interval):
        numpy.random.seed(0)
        trees = [rrcf.RCTree() for _ in range(10)]
        scale = sum(map(abs, values[:100])) / len(values[:100]) + 1e-9
        for row in range(len(values)):
            score = 0.0
            if row >= 3:
                point = numpy.array(values[row - 3:row + 1]) / scale
                for tree in trees:
                    if len(tree.leaves) >= 128:
                        tree.forget_point(row - 128)
                    tree.insert_point(point, index=row)
                    score += tree.codisp(row) / 10
            yield score
    return scores


def matrix_profile():
    """The distance to the nearest earlier window of an hour, three hours or a day (left matrix profile)."""
    import numpy
    import stumpy

    def scores(values, interval):
        length = 60 if interval <= 60 else 36 if interval <= 300 else 24
        noise = numpy.random.default_rng(0).standard_normal(len(values))
        values = numpy.array(values)
        # Equal windows have no distance by z-normalisation; the noise is a billionth of the mean size.
        values = values + 1e-9 * noise * (numpy.abs(values).mean() + 1e-9)
        start = 10 * length
        if len(values) <= start:
            yield from [0.0] * len(values)
            return
        stream = stumpy.stumpi(values[:start], length, egress=False)
        yield from [0.0] * start
        for value in values[start:]:
            stream.update(value)
            score = stream.left_P_[-1]
            yield float(score) if math.isfinite(score) else 0.0
    return scores


def level_shift():
    """The distance from the median of the 25 values before, in interquartile ranges of the first tenth of the rows, which
    are not scored. adtk's PersistAD compares this distance with a limit; it gives labels only, its transformer numbers."""
    import numpy
    import pandas
    from adtk.transformer import DoubleRollingAggregate

    def scores(values, _interval):
        series = pandas.Series(values, index=pandas.date_range("2020", periods=len(values), freq="min"))
        change = DoubleRollingAggregate(agg="median", window=(25, 1), center=False, diff="l1").transform(series)
        change = change.fillna(0.0).to_numpy()
        fitted = change[:max(50, len(change) // 10)]
        spread = numpy.subtract(*numpy.percentile(fitted, [75, 25])) + 1e-9 * (numpy.abs(values).mean() + 1e-9)
        yield from change / spread
    return scores


SYSTEMS = {
    "adtk DoubleRollingAggregate": level_shift,
    "river GaussianScorer": lambda: river_gaussian(None),
    "river GaussianScorer 300": lambda: river_gaussian(300),
    "river HalfSpaceTrees": river_trees,
    "river SNARIMAX": river_forecast,
    "river StandardAbsoluteDeviation": river_deviation,
    "rrcf 10x128": forest,
    "stumpy left matrix profile": matrix_profile,
}


class TooSlow(Exception):
    pass


def read(path):
    with open(path, newline="") as file:
        rows = [(float(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    gaps = sorted(later[0] - earlier[0] for earlier, later in zip(rows, rows[1:]))
    return [value for _, value in rows], gaps[len(gaps) // 2]


def run(make, folder, target, limit):
    scores, count, start = make(), 0, time.perf_counter()
    for path in sorted(glob.glob(os.path.join(folder, "*", "*.csv"))):
        values, interval = read(path)
        found = []
        for score in scores(values, interval):
            found.append(score if isinstance(score, float) and math.isfinite(score) else float(score.real))
            if len(found) % 100 == 0 and time.perf_counter() - start > limit:
                raise TooSlow
        name = os.path.relpath(path, folder)[:-4] + ".txt"
        os.makedirs(os.path.dirname(os.path.join(target, name)), exist_ok=True)
        with open(os.path.join(target, name), "w") as file:
            file.writelines("%.9g\n" % (score if math.isfinite(score) else 1e12) for score in found)
        count += len(values)
    seconds = time.perf_counter() - start
    with open(os.path.join(target, "ns.txt"), "w") as file:
        file.write("%.0f\n" % (seconds * 1e9 / count))
    return seconds


def main(arguments):
    directory, names, limit = arguments[0], arguments[1:], 1800.0
    if "--seconds" in names:
        at = names.index("--seconds")
        limit = float(names[at + 1])
        del names[at:at + 2]
    folder = os.path.join(directory, "series")
    if not os.path.isdir(folder):
        sys.exit("%s has no series; write them with detect_bench --export %s" % (folder, directory))
    is_complete = True
    for name in names or SYSTEMS:
        target = os.path.join(directory, "scores", name)
        shutil.rmtree(target, ignore_errors=True)
        try:
            print("%s: %.0f s" % (name, run(SYSTEMS[name], folder, target, limit)), flush=True)
        except ImportError as error:
            print("PEER SKIPPED: %s: %s" % (name, error), flush=True)
            is_complete = False
        except TooSlow:
            shutil.rmtree(target, ignore_errors=True)
            print("PEER SKIPPED: %s: more than %.0f s" % (name, limit), flush=True)
    return 0 if is_complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
