"""Python packages by the name that code imports: those whose name is known, so that no stranger's is installed.

Only data. A name that is not here may be anybody's package.
"""

from __future__ import annotations

# import name, package name where it is another one
_TEXT = """
aiohttp
altair
anthropic
arrow
attr attrs
babel
boto3
botocore
bs4 beautifulsoup4
cachetools
catboost
chardet
click
cryptography
Crypto pycryptodome
cv2 opencv-python
dask
databricks.sdk databricks-sdk
datasets
dateutil python-dateutil
dbldatagen
deepdiff
docx python-docx
dotenv python-dotenv
duckdb
faiss faiss-cpu
faker
fastapi
fastparquet
feedparser
fitz PyMuPDF
folium
gensim
geopandas
geopy
git GitPython
great_expectations great-expectations
h3
holidays
httpx
hyperopt
imblearn imbalanced-learn
jinja2 Jinja2
joblib
jsonschema
jwt PyJWT
keras
langchain
lightgbm
lxml
markdown
matplotlib
mlflow
networkx
nltk
numba
numpy
openai
OpenSSL pyOpenSSL
openpyxl
optuna
orjson
pandas
pandera
paramiko
pendulum
phonenumbers
PIL Pillow
pint
plotly
polars
pptx python-pptx
prophet
psutil
psycopg2 psycopg2-binary
pyarrow
pycountry
pydantic
pymongo
pymysql PyMySQL
pyodbc
pypdf
pyproj
pytest
pytz
rasterio
redis
regex
requests
rich
scipy
seaborn
sentencepiece
shap
shapely
simplejson
skimage scikit-image
sklearn scikit-learn
slack_sdk slack-sdk
snowflake.connector snowflake-connector-python
spacy
sqlalchemy SQLAlchemy
sqlglot
statsmodels
stripe
sympy
tabulate
tenacity
tensorflow
tiktoken
torch
tqdm
transformers
typer
ujson
umap umap-learn
unidecode Unidecode
wandb
xgboost
xlrd
xlsxwriter XlsxWriter
xmltodict
yaml PyYAML
zstandard
"""

PACKAGES: dict[str, str] = {words[0]: words[-1] for line in _TEXT.splitlines() if (words := line.split())}


def package_of(dotted: str) -> str:
    """The package that brings the module, by the longest part of its name that is known; empty where none is."""
    parts = dotted.split(".")
    names = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((PACKAGES[name] for name in names if name in PACKAGES), "")
