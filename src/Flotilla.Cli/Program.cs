using System.Runtime.InteropServices;
using Flotilla.Cli;
using Flotilla.Server;

// The first Ctrl-C or SIGTERM asks for a clean end; the second one doesn't ask.
using var stop = new CancellationTokenSource();
void OnSignal(PosixSignalContext context)
{
    if (stop.IsCancellationRequested)
    {
        return;
    }

    context.Cancel = true;
    stop.Cancel();
}

using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
using var stdout = Console.OpenStandardOutput();
return await Application.RunAsync(args, new Shell
{
    Runner = new NodeRunner(),
    StdIn = Console.OpenStandardInput,
    StdOut = stdout,
    Err = Console.Error,
    Env = Environment.GetEnvironmentVariable,
    OutIsTerminal = !Console.IsOutputRedirected,
    ErrIsTerminal = !Console.IsErrorRedirected,
    Stop = stop.Token,
});
