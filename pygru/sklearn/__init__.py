"""scikit-learn estimators: GRUClassifier, GRURegressor and GRUTransformer.

They are thin layers over :class:`pygru.Sequential` and :class:`pygru.Trainer`. ``import pygru``
does not import this package, since it needs scikit-learn.
"""

try:
    import sklearn  # noqa: F401 (looked at first, for a clear message)
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise ImportError(
        'pygru.sklearn needs scikit-learn>=1.6; install it with  pip install "pygru[sklearn]"'
    ) from None

from pygru.sklearn.classifier import GRUClassifier
from pygru.sklearn.regressor import GRURegressor
from pygru.sklearn.transformer import GRUTransformer

__all__ = ["GRUClassifier", "GRURegressor", "GRUTransformer"]
