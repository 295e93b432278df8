import SluiceABI
