# Settings with which GPAW builds quickly calculating binaries without MPI:
#   apt-get install libxc-dev libfftw3-dev libopenblas-dev g++
#   GPAW_CONFIG=docs/gpaw_siteconfig.py pip install -c constraints.txt --no-binary gpaw gpaw gpaw-data dftd3
# Without FFTW the calculations of this package take about three times as long. One process computes one configuration:
# no MPI.
mpi = False
compiler = "g++"
fftw = True
libraries = ["xc", "fftw3", "openblas"]
