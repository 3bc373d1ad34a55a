using System.Net;
using System.Net.Sockets;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>Ports that nobody listens on, below the range from which the kernel takes outgoing ones, and never given twice.</summary>
internal static class Ports
{
    private static readonly HashSet<int> Given = [];
    private static readonly Random Random = new(Environment.ProcessId);

    public static int Next()
    {
        lock (Given)
        {
            while (true)
            {
                var port = Random.Next(10_000, 32_000);
                if (Given.Add(port) && IsFree(port))
                {
                    return port;
                }
            }
        }
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
