"""One healthy session after another; knows neither Redis nor files."""
