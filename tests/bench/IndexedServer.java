// SPDX-License-Identifier: ISC
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.backend.memory.index.MemoryUniqueIndex;
import de.bwaldvogel.mongo.bson.BinData;
import de.bwaldvogel.mongo.bson.Document;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/**
 * mongo-java-server in memory on 127.0.0.1; says its port when it listens.
 *
 * <p>By itself it looks at every document when a condition names more than _id. MongoDB goes by the
 * index of _id then and tries the rest of the condition on what it finds: so does this one, or else
 * the bench would measure those scans.
 */
public final class IndexedServer extends MemoryBackend {
    private static final String ID = "_id";

    private static final class IdIndex extends MemoryUniqueIndex {
        IdIndex(String name, List<IndexKey> keys, boolean sparse) {
            super(name, keys, sparse);
        }

        private static Document onlyId(Document query) {
            return query.get(ID) instanceof BinData ? new Document(ID, query.get(ID)) : query;
        }

        @Override
        public synchronized boolean canHandle(Document query) {
            return super.canHandle(keySet().contains(ID) ? onlyId(query) : query);
        }

        @Override
        public synchronized Iterable<Integer> getPositions(Document query) {
            return super.getPositions(keySet().contains(ID) ? onlyId(query) : query);
        }
    }

    @Override
    public MemoryDatabase openOrCreateDatabase(String name) {
        return new MemoryDatabase(name, getCursorRegistry()) {
            @Override
            protected Index<Integer> openOrCreateUniqueIndex(
                    String collection, String index, List<IndexKey> keys, boolean sparse) {
                return new IdIndex(index, keys, sparse);
            }
        };
    }

    public static void main(String[] args) throws InterruptedException {
        System.setProperty("slf4j.internal.verbosity", "ERROR");
        MongoServer server = new MongoServer(new IndexedServer());
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind(new InetSocketAddress("127.0.0.1", 0));
        System.out.println(server.getLocalAddress().getPort());
        System.out.flush();
        new CountDownLatch(1).await();
    }
}
