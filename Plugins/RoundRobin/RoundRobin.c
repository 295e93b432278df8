/* Round robin: each pick takes the next eligible endpoint after the one before. */
#include "sluice/plugin.h"
