"""The matrix's self-check."""
import sys
from .schema import load_rows, known_causes, SchemaError
def main():
    try: rows=load_rows()
    except SchemaError as e:
        print(e); return 1
    print(len(rows),"rows")
    bad=[r for r in rows if r.cause not in known_causes()]
    for r in bad: print(r.file,r.line,r.id,"unknown cause",r.cause)
    return 1 if bad else 0
if __name__=="__main__": sys.exit(main())
