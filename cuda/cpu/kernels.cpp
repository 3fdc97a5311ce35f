// What does not depend on a family, compiled once per instruction set: RECON_ISA names the namespace and the table.
#include "cpu/kernels.h"

#include "cpu/adam.h"
#include "cpu/image_loss.h"
#include "cpu/stereo.h"
#include "recon/families.h"

#define RECON_CONCAT_(a, b) a##b
#define RECON_CONCAT(a, b) RECON_CONCAT_(a, b)
#define RECON_TEXT_(a) #a
#define RECON_TEXT(a) RECON_TEXT_(a)

namespace recon {

#define RECON_DECLARE(name, type) extern const FamilyKernels<RECON_REAL> RECON_CONCAT(kFamily_##name##_, RECON_ISA);
#define RECON_ADDRESS(name, type) &RECON_CONCAT(kFamily_##name##_, RECON_ISA),

RECON_FAMILIES(RECON_DECLARE)
static const FamilyKernels<RECON_REAL>* const kFamilies[] = {RECON_FAMILIES(RECON_ADDRESS)};

extern const Kernels<RECON_REAL> RECON_CONCAT(kTable_, RECON_ISA);
const Kernels<RECON_REAL> RECON_CONCAT(kTable_, RECON_ISA) = {RECON_TEXT(RECON_ISA), kFamilies, image_loss<RECON_REAL>, adam<RECON_REAL>,
                                                                       stereo_sweep<RECON_REAL>};

}  // namespace recon
