"""Long one-dimensional kernels by the fast Fourier transform."""
