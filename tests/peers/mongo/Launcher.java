// SPDX-License-Identifier: ISC
import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.io.IOException;
import java.net.InetSocketAddress;

/**
 * Runs mongo-java-server on 127.0.0.1 and says "listening PORT" when it does.
 *
 * <p>Launcher [--port PORT] [--h2 FILE]: without a port one is picked; with --h2 the documents are
 * kept in FILE and are there again after a start. It ends when its standard input does, or by
 * SIGTERM.
 */
public final class Launcher {
    private static final int USAGE = 64;

    private Launcher() {}

    public static void main(String[] args) throws IOException {
        // The logging library would complain that nobody listens to it.
        System.setProperty("slf4j.internal.verbosity", "ERROR");
        int port = 0;
        String file = null;
        if (args.length % 2 != 0) {
            usage();
        }
        for (int i = 0; i < args.length; i += 2) {
            switch (args[i]) {
                case "--port":
                    port = Integer.parseInt(args[i + 1]);
                    break;
                case "--h2":
                    file = args[i + 1];
                    break;
                default:
                    usage();
            }
        }
        MongoBackend backend = file == null ? new MemoryBackend() : new H2Backend(file);
        MongoServer server = new MongoServer(backend);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind(new InetSocketAddress("127.0.0.1", port));
        System.out.println("listening " + server.getLocalAddress().getPort());
        System.out.flush();
        while (System.in.read() >= 0) {
            // What is written to it means nothing; only its end does.
        }
        System.exit(0);
    }

    private static void usage() {
        System.err.println("usage: Launcher [--port PORT] [--h2 FILE]");
        System.exit(USAGE);
    }
}
