"""The chapters, each a script in cells that runs from top to bottom.

They are read and run by `striderule.tour`, never imported: importing one would run it. An editor that knows ``# %%``
cells runs them one by one. How cells are written is said in `striderule.tour.cells`.
"""
