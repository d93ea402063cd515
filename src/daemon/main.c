/* SPDX-License-Identifier: ISC */
#include "base/clock.h"
#include "daemon/command.h"

int main(int argc, char **argv)
{
    return command_main(argc, argv, clock_system());
}
